"""A Gradio app that is a Hugging Face Space in one file.

To run it here: `pip install -r examples/gradio_requirements.txt`, then `python examples/gradio_app.py`. For a Space,
copy this file as app.py and gradio_requirements.txt as requirements.txt. `vivavoce serve` has its own page, which
streams.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

import vivavoce
from vivavoce import audio

MAX_CHARS = 1000  # a Space's two cores are shared by all visitors


@functools.cache
def model() -> vivavoce.TTS:
    """Load the bundled model, once."""
    return vivavoce.load()


def speak(
    text: str, voice: str, recording: str | None, agreed: bool, speed: float, seed: float
) -> tuple[int, npt.NDArray[np.int16]]:
    """Return speech as Gradio plays it: the sample rate and int16 samples [S].

    recording: path of a recording whose voice replaces `voice`; its speaker must have `agreed`. Raises ValueError for
    invalid input.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the text has {len(text)} characters; at most {MAX_CHARS} are allowed here")
    if recording and not agreed:
        raise ValueError("the speaker of the recording must have agreed to this use")
    speaker = vivavoce.Voice.from_file(recording) if recording else voice
    speech = model().speak(text, speaker, speed=speed, seed=int(seed))
    return speech.sample_rate, audio.pcm(speech.samples)


def page() -> Any:
    """Return the app, ready to launch."""
    import gradio

    def show_errors(*values: Any) -> tuple[int, npt.NDArray[np.int16]]:
        try:
            return speak(*values)
        except (ValueError, vivavoce.SynthesisError) as error:
            raise gradio.Error(str(error)) from None

    names = [(f"{voice.name}, {voice.description}", voice.name) for voice in vivavoce.voices()]
    return gradio.Interface(
        show_errors,
        [
            gradio.Textbox("Good morning. Shall we begin?", label="Text", lines=4, max_length=MAX_CHARS),
            gradio.Dropdown(names, value=names[0][1], label="Voice"),
            gradio.Audio(type="filepath", label="Or the voice of a recording, 1 to 15 seconds"),
            gradio.Checkbox(label="The speaker of the recording agrees"),
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
