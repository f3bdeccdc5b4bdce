"""A loaded model that speaks: `load()` gives a `TTS`, which turns text into `Speech`, or a stream of it.

The story of a text is told by the modules that this one calls: `planning` makes pieces of it, `speaking` has them made
by a `System` from `checkpoints.py`, levels them and puts them together.
"""

from __future__ import annotations

import dataclasses
import functools
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from vivavoce import speaking
from vivavoce.config import SpeakOptions
from vivavoce.lexicon import Lexicon
from vivavoce.planning import Planner, Text
from vivavoce.preview import Preview, preview
from vivavoce.speaking import Speaking, Switch, check_retries, piece_seed
from vivavoce.speech import Progress, Speech, SynthesisError, System
from vivavoce.verify import Hears, Reader, recogniser
from vivavoce.voices import Voice, get, voices

__all__ = [
    "BACKENDS",
    "DEVICES",
    "DTYPES",
    "TTS",
    "Preview",
    "Progress",
    "Speech",
    "SynthesisError",
    "System",
    "load",
    "piece_seed",
]

BACKENDS = ("auto", "torch", "mlx")
DEVICES = ("auto", "cpu", "cuda", "mps")  # and cuda:0, cuda:1, ...
DTYPES = ("float32", "bfloat16", "float16")


class TTS:
    """A loaded model that speaks. `load()` makes one."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._asr: Hears | None = None  # what verify="asr" loads

    @property
    def sample_rate(self) -> int:
        """Hz, of all speech from this model."""
        return self.system.sample_rate

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that this model speaks, the usual one first."""
        return self.system.languages

    @property
    def voices(self) -> list[Voice]:
        """The built-in voices."""
        return voices()

    def speak(
        self,
        text: Text,
        voice: str | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Hears | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Speech:
        """Speak `text`, of any length, and return all of it.

        text: with tags as `markup` explains them; or a list of (language, text), to be spoken as one.
        voice: the name of a built-in voice, or a `Voice`, as of `Voice.from_file`; None: the default of `SpeakOptions`.
        lang: the code of the language of a text that does not say. ssml: the text is an SSML document. lexicon: how
        words are to be read. progress: called with the part that is done, 0 to 1.
        retries: how often a piece is made again, with another seed, that is cut off, too long, noisy or otherwise at
        fault (`checks.check`); the best of its tries is taken, with a warning where it has a fault, too.
        verify: "asr" to have Whisper, of the extra `eval`, listen to each piece for words that are left out, said twice
        or not to be understood, which are faults, too; or a recogniser with a method as `evaluation.Recogniser` has it.
        options: the other fields of `SpeakOptions`: speed, seed, and of steps, method, cfg, sway_coef,
        temperature and top_k those that the engine has. Same seed, same machine, same options: the same samples.
        Warns of characters that the model does not know. Raises ValueError for text with nothing to say in it, wrong
        markup, an unknown voice, language or option and values out of range, SynthesisError where the engine makes no
        speech.
        """
        start = self._started(text, voice, lang, ssml, lexicon, retries, verify, options)
        made = []
        for speech, notices in speaking.parts(start, progress, Switch()):
            for notice in notices:
                warnings.warn(notice, stacklevel=2)
            if speech is not None:
                made.append(speech)
        return Speech.join(made, text if isinstance(text, str) else " ".join(words for _, words in text))

    def stream(
        self,
        text: Text | Iterable[str],
        voice: str | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Hears | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Iterator[Speech]:
        """Speak `text` piece by piece, the first one short. While one is listened to, a thread makes the next.

        The silence after a piece is its end, so the pieces one after another are what `speak` returns with the same
        seed, sample by sample. `text` may also be an iterator of strings, such as the tokens of a language model: a
        piece is made as soon as the text that has come tells where it ends, so it may be cut otherwise than by `speak`.
        Arguments, warnings and errors as of `speak`; bad arguments raise here, not later, but for what is in such an
        iterator. `progress` is called from the thread, too, and not with an iterator, whose length nobody knows.
        Closing the stream stops the work.
        """
        start = self._started(text, voice, lang, ssml, lexicon, retries, verify, options)
        return _listened(functools.partial(speaking.parts, start, progress))

    def begin(
        self,
        text: Text,
        voice: str | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Hears | None = None,
        **options: Any,
    ) -> Speaking:
        """What `speak` does, for whoever makes the pieces of several texts at once with `system.waves`.

        Arguments and errors as of `speak`.
        """
        return self._started(text, voice, lang, ssml, lexicon, retries, verify, options)()

    def preview(
        self,
        text: Text,
        voice: str | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        **options: Any,
    ) -> Preview:
        """What `speak` would say: words, pieces, what was changed by which rule, predicted seconds. Speaks nothing.

        Arguments and errors as of `speak`.
        """
        return preview(self.planner(voice, lang=lang, **options)[0], text, ssml=ssml, lexicon=lexicon)

    def planner(self, voice: str | Voice | None = None, *, lang: str = "en", **options: Any) -> tuple[Planner, int]:
        """What makes pieces of a text in this voice, and the seed to speak them with. Arguments and errors as of
        `speak`."""
        chosen = SpeakOptions.from_dict(options, "speak")
        speaker = voice if isinstance(voice, Voice) else get(chosen.voice if voice is None else voice)
        sampling = self.system.sampling
        chosen.check_engine(sampling.OPTIONS)
        recommended = {
            f.name: getattr(sampling, f.name)
            for f in dataclasses.fields(sampling)
            if getattr(chosen, f.name, ...) is None
        }
        seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
        return Planner(self.system, speaker, chosen.replace(voice=speaker.name, seed=seed, **recommended), lang), seed

    def reader(self, verify: str | Hears | None) -> Reader | None:
        """Who listens to the pieces: `verify` as of `speak`. Whisper is loaded once. Raises ValueError for another
        value, and where the extra `eval` is missing."""
        if verify == "asr":
            if self._asr is None:
                self._asr = recogniser()
            verify = self._asr
        if verify is None:
            return None
        if isinstance(verify, str) or not hasattr(verify, "transcribe"):
            raise ValueError(f"verify is {verify!r}; it must be asr, None or a recogniser")
        return Reader(verify, self.languages[0])

    def _started(
        self,
        text: Text | Iterable[str],
        voice: str | Voice | None,
        lang: str,
        ssml: bool,
        lexicon: Lexicon | None,
        retries: int,
        verify: str | Hears | None,
        options: dict[str, Any],
    ) -> Callable[[], Speaking]:
        """All that is checked before the first piece, and what begins with that piece."""
        check_retries(retries)
        reader = self.reader(verify)
        planner, seed = self.planner(voice, lang=lang, **options)
        if isinstance(text, Iterator) or (isinstance(text, Iterable) and not isinstance(text, Sequence)):
            if ssml:
                raise ValueError("ssml=True needs the document as one str")
            scraps: Iterable[str] = text
            return lambda: Speaking(planner, planner.scraps(scraps, lexicon=lexicon), seed, retries, reader=reader)
        begun = Speaking(planner, planner.whole(text, ssml=ssml, lexicon=lexicon), seed, retries, reader=reader)
        return lambda: begun


def _listened(make: Callable[[Switch], Iterator[speaking.Part]]) -> Iterator[Speech]:
    """The speech of parts that are made in a thread; their notices as warnings."""
    for speech, notices in speaking.ahead(make):
        for notice in notices:
            warnings.warn(notice, stacklevel=2)
        if speech is not None:
            yield speech


def load(
    model: str = "bundled",
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "float32",
    compile: bool = False,
    vocoder: str | None = None,
    bits: int | None = None,
) -> TTS:
    """Load a model.

    model: "bundled", "whisperspeech", a folder (as `vivavoce export`, the published nanospeech or WhisperSpeech writes
    it), or the name of one on the Hugging Face hub; of several published whisperspeech files those behind a colon, as
    in "owner/name:t2s-a.model,s2a-b.model". backend: torch, mlx, or auto: mlx on Apple silicon where it is installed,
    else torch; whisperspeech runs in torch alone. device: auto, cpu, cuda (cuda:1 for the second) or mps. dtype:
    float32, bfloat16 or float16. compile: let torch.compile or mx.compile make it faster, after a slow first sentence.
    vocoder: "bundled", a folder or a hub name, in place of the one that the model asks for. bits: 4 or 8 to quantise
    the model's weights, with mlx only.
    The vocoder of a published model is fetched here, once; the speaker encoder of a published WhisperSpeech,
    speechbrain/spkrec-ecapa-voxceleb, when it is first to speak with a voice that has no vector of that encoder.
    Raises ValueError, naming the value, for anything else and for files that are missing or not as they should be.
    """
    _require_choice("backend", backend, BACKENDS)
    _require_choice("device", device if not device.removeprefix("cuda:").isdecimal() else "cuda", DEVICES)
    _require_choice("dtype", dtype, DTYPES)
    from vivavoce.checkpoints import load_system  # here, for it is what loads torch or mlx

    return TTS(load_system(model, backend, device, dtype, compile, vocoder, bits))


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
