"""A page to speak from, with Gradio: a Hugging Face Space in one file.

Here: `pip install -r examples/gradio_requirements.txt`, then `python examples/gradio_app.py`. For a Space, copy this
file as app.py and gradio_requirements.txt as requirements.txt. `vivavoce serve` has a page of its own, which streams.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

import vivavoce
from vivavoce import audio

MAX_CHARS = 1000  # a Space's two cores are everybody's


@functools.cache
def model() -> vivavoce.TTS:
    """The bundled model, loaded once."""
    return vivavoce.load()


def speak(
    text: str, voice: str, recording: str | None, agreed: bool, speed: float, seed: float
) -> tuple[int, npt.NDArray[np.int16]]:
    """What Gradio plays, the sample rate and int16 samples [S], of what the page asks for.

    recording: the path of one, to be spoken in its voice in place of `voice`, where whoever is heard in it `agreed`.
    Raises ValueError for what cannot be spoken.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"{len(text)} characters; at most {MAX_CHARS} are spoken here")
    if recording and not agreed:
        raise ValueError("whoever is heard in the recording must have agreed to this use of it")
    speaker = vivavoce.Voice.from_file(recording) if recording else voice
    speech = model().speak(text, speaker, speed=speed, seed=int(seed))
    return speech.sample_rate, audio.pcm(speech.samples)


def page() -> Any:
    """The page, to be launched."""
    import gradio

    def told(*values: Any) -> tuple[int, npt.NDArray[np.int16]]:
        try:
            return speak(*values)
        except (ValueError, vivavoce.SynthesisError) as error:
            raise gradio.Error(str(error)) from None

    names = [(f"{voice.name}, {voice.description}", voice.name) for voice in vivavoce.voices()]
    return gradio.Interface(
        told,
        [
            gradio.Textbox("Good morning. Shall we begin?", label="Text", lines=4, max_length=MAX_CHARS),
            gradio.Dropdown(names, value=names[0][1], label="Voice"),
            gradio.Audio(type="filepath", label="Or the voice of a recording, 1 to 15 seconds"),
            gradio.Checkbox(label="Whoever is heard in the recording agrees"),
            gradio.Slider(0.5, 2.0, 1.0, step=0.05, label="Speed"),
            gradio.Number(1, label="Seed", precision=0, minimum=0),
        ],
        gradio.Audio(label="Speech"),
        title="vivavoce",
        description="All built-in voices are synthetic. Use nobody's voice without their consent.",
        flagging_mode="never",
    )


if __name__ == "__main__":
    page().queue(max_size=16).launch()
