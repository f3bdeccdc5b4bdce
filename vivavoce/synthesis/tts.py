"""A loaded model that speaks. `load` returns a `TTS`, which turns text into `Speech` or a stream of it.

`planner` cuts the text into pieces, `synthesizer` has a `System` speak them, `prefetch` works ahead of the listener,
`asynchronous` does so for an event loop.

The file is long because `speak`, `stream` and their asynchronous forms spell out every option as a keyword argument, so
that editors complete it and type checkers know it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import secrets
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy.typing as npt

from vivavoce.config import BACKENDS, DEVICES, DTYPES, PROSODY_LIMITS, SpeakOptions, require_choice
from vivavoce.synthesis.asynchronous import Bridge, in_thread
from vivavoce.synthesis.convert import check_converts, converted
from vivavoce.synthesis.like import Like, Recording
from vivavoce.synthesis.planner import Planner
from vivavoce.synthesis.prefetch import StopToken, prefetch
from vivavoce.synthesis.preview import Preview, preview
from vivavoce.synthesis.recording import check_recording
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import Part, Synthesizer, check_retries, piece_seed, run
from vivavoce.synthesis.timing import check_times, timed_plan
from vivavoce.synthesis.verify import TranscriptChecker, load_recognizer
from vivavoce.systems.interface import Progress, SynthesisError, System
from vivavoce.text.formats import Text, check_format, parse_text
from vivavoce.voices import Voice, find_voice, names, voices

if TYPE_CHECKING:
    from vivavoce.metrics.asr import Recognizer
    from vivavoce.text.lexicon import Lexicon

__all__ = [
    "TTS",
    "Preview",
    "Progress",
    "Speech",
    "SynthesisError",
    "System",
    "load",
    "piece_seed",
]

P = ParamSpec("P")
R = TypeVar("R")


def _arguments_of(source: Callable[P, Any]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the arguments of another one, for editors, type checkers and `help`."""

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        returns = inspect.signature(function).return_annotation
        function.__signature__ = inspect.signature(source).replace(return_annotation=returns)  # type: ignore[attr-defined]
        return function

    return decorate


class TTS:
    """A loaded model that speaks. `load()` returns one."""

    def __init__(self, system: System, model: str = "") -> None:
        """model: its name, for `repr`."""
        self.system = system
        self.model = model
        self._recognizer: Recognizer | None = None  # loaded by verify="asr"
        self._code_reader: Any = None  # loaded by `convert`, with the names that it was loaded for
        self._letter_timer: Any = None  # loaded by `convert` with a text, and by `like` with the same words
        self._process = os.getpid()

    def __repr__(self) -> str:
        known = ", ".join(names())
        return f"TTS({self.model!r}, languages {', '.join(self.languages)}, voices {known}, {self.sample_rate} Hz)"

    @property
    def sample_rate(self) -> int:
        """Hz, of all speech from this model."""
        return self.system.sample_rate

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that this model speaks; the first is its main language."""
        return self.system.languages

    @property
    def voices(self) -> list[Voice]:
        """The built-in voices, then those that the user has added or trained."""
        return voices()

    def speak(
        self,
        text: Text,
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        speed: float = 1.0,
        pitch: float | None = None,
        pitch_range: float | None = None,
        energy: float | None = None,
        pace: float | None = None,
        like: Recording | None = None,
        like_text: str | None = None,
        seed: int | None = None,
        lang: str = "en",
        ssml: bool = False,
        format: str = "auto",
        strict: bool | None = None,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Recognizer | None = None,
        progress: Progress | None = None,
        steps: int | None = None,
        method: str | None = None,
        cfg: float | None = None,
        sway_coef: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        **unknown: Any,
    ) -> Speech:
        """Speak a text of any length and return the whole speech.

        text: with tags as in `text.markup`, or a list of (language, text) that is spoken as one text.
        voice: the name of a built-in voice, the path of a saved one, or a `Voice`, for example from `Voice.from_file`;
        None: the default of `SpeakOptions`. speed: 0.25 to 4; 2 is twice as fast.
        pitch: semitones up or down, -6 to 6. pitch_range: 0.3 to 2; below 1 is flatter, above 1 livelier. energy: dB
        louder or softer, -12 to 8. pace: 0.5 to 2, as speed, but a model with prosody conditions chooses what to cut.
        A model without them refuses pitch and pitch_range. None: the voice's own manner.
        like: a recording of 1 to 120 s whose manner is followed, where no option above says otherwise: a path, samples
        [S] with their rate, a `Speech`, or a `Voice` for its recording. like_text: its words. If they are those of the
        text, each word is spoken as in the recording, which needs the extra `torch`; otherwise they only determine the
        pace.
        seed: the same seed, machine and options give the same samples; None: a new one. lang: the code of the language
        of parts that do not name one.
        ssml: the text is an SSML document. format: plain, markdown, or auto, which also reads what is unmistakably
        Markdown; "auto+code" and "markdown+code" read its code blocks, too. strict: raise an error for a wrong tag or
        for SSML that cannot be followed; False: leave it out with a warning; None: an error for tags in a text that is
        given as a whole. lexicon: how words are pronounced.
        progress: called with the part that is done, 0 to 1.
        retries: how often a piece is tried again with another seed if it is cut off, too long, noisy or otherwise
        faulty (`checks.check`). The best attempt is kept, with a warning if it still has a fault.
        verify: "asr" transcribes each piece with Whisper (extra `eval`) and treats dropped, repeated and unintelligible
        words as faults too; or a recogniser of your own, a `metrics.asr.Recognizer`.
        steps, method, cfg, sway_coef, temperature, top_k: as in `SpeakOptions`; None: what the model recommends. An
        engine has some of them and refuses the others. unknown: refused, with the option that was probably meant.
        Warns of characters that the model does not know. Raises ValueError for a text with nothing to say in it, wrong
        markup, an unknown voice, language or option, and values out of range; SynthesisError if the engine makes no
        speech.
        """
        synthesizer = self.begin(
            text, voice, speed=speed, pitch=pitch, pitch_range=pitch_range, energy=energy, pace=pace,
            like=like, like_text=like_text, seed=seed, lang=lang, ssml=ssml, format=format, strict=strict,
            lexicon=lexicon, retries=retries, verify=verify, steps=steps, method=method, cfg=cfg, sway_coef=sway_coef,
            temperature=temperature, top_k=top_k, **unknown
        )  # fmt: skip
        parts = []
        for speech, notices in run(synthesizer, progress):
            for notice in notices:
                warnings.warn(notice, stacklevel=2)
            if speech is not None:
                parts.append(speech)
        return Speech.join(parts, _joined(text))

    def stream(
        self,
        text: Text | Iterable[str],
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        speed: float = 1.0,
        pitch: float | None = None,
        pitch_range: float | None = None,
        energy: float | None = None,
        pace: float | None = None,
        like: Recording | None = None,
        like_text: str | None = None,
        seed: int | None = None,
        lang: str = "en",
        ssml: bool = False,
        format: str = "auto",
        strict: bool | None = None,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Recognizer | None = None,
        progress: Progress | None = None,
        steps: int | None = None,
        method: str | None = None,
        cfg: float | None = None,
        sway_coef: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        **unknown: Any,
    ) -> Iterator[Speech]:
        """Yield a text piece by piece, the first one short. The next piece is generated in the background.

        A piece ends with the silence after it; silence longer than 5 seconds follows in separate parts, without text.
        Joined, the parts are what `speak` returns for the same seed, sample by sample. `text` may also be an iterator
        of strings, such as the tokens of a language model: each piece is spoken as soon as its end is certain, so the
        text may be cut in other places than by `speak`.
        Arguments, warnings and errors as for `speak`. Bad arguments raise here and not during iteration, except for
        errors in the text of such an iterator. `progress` is called from the background thread, and not at all for an
        iterator, whose length is unknown. Closing the stream stops the work.
        """
        token = StopToken()
        synthesizer = self.begin(
            text, voice, speed=speed, pitch=pitch, pitch_range=pitch_range, energy=energy, pace=pace,
            like=like, like_text=like_text, seed=seed, lang=lang, ssml=ssml, format=format, strict=strict,
            lexicon=lexicon, retries=retries, verify=verify, steps=steps, method=method, cfg=cfg, sway_coef=sway_coef,
            temperature=temperature, top_k=top_k, **unknown, token=token
        )  # fmt: skip
        return _warn(prefetch(run(synthesizer, progress, token), token))

    @_arguments_of(speak)
    async def aspeak(self, text: Text, voice: str | os.PathLike[str] | Voice | None = None, **options: Any) -> Speech:
        """Speak a text in the background of an event loop. Arguments, warnings and errors as for `speak`.

        A task that is cancelled stops the work.
        """
        parts = [speech async for speech in self.astream(text, voice, **options)]
        return Speech.join(parts, _joined(text))

    async def astream(
        self,
        text: Text | Iterable[str] | AsyncIterable[str],
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        speed: float = 1.0,
        pitch: float | None = None,
        pitch_range: float | None = None,
        energy: float | None = None,
        pace: float | None = None,
        like: Recording | None = None,
        like_text: str | None = None,
        seed: int | None = None,
        lang: str = "en",
        ssml: bool = False,
        format: str = "auto",
        strict: bool | None = None,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Recognizer | None = None,
        progress: Progress | None = None,
        steps: int | None = None,
        method: str | None = None,
        cfg: float | None = None,
        sway_coef: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        **unknown: Any,
    ) -> AsyncGenerator[Speech, None]:
        """Yield a text piece by piece, as `stream` does, without blocking the event loop.

        `text` may also be an asynchronous iterator of strings. Arguments, warnings and errors as for `stream`, but
        errors are raised at the first piece, and `progress` is called from a thread. A task that is cancelled stops
        the work, and so does `aclose`.
        """
        token = StopToken()
        bridge = Bridge(text) if isinstance(text, AsyncIterable) else None
        source: Any = text if bridge is None else bridge

        def parts() -> Iterator[Part]:
            synthesizer = self.begin(
                source, voice, speed=speed, pitch=pitch, pitch_range=pitch_range, energy=energy, pace=pace,
                like=like, like_text=like_text, seed=seed, lang=lang, ssml=ssml, format=format, strict=strict,
                lexicon=lexicon, retries=retries, verify=verify, steps=steps, method=method, cfg=cfg,
                sway_coef=sway_coef, temperature=temperature, top_k=top_k, **unknown, token=token
            )  # fmt: skip
            yield from prefetch(run(synthesizer, progress, token), token)

        async with contextlib.aclosing(in_thread(parts(), token, bridge)) as items:
            async for speech, notices in items:
                for notice in notices:
                    warnings.warn(notice, stacklevel=2)
                if speech is not None:
                    yield speech

    def begin(
        self,
        text: Text | Iterable[str],
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        format: str = "auto",
        strict: bool | None = None,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Recognizer | None = None,
        max_seconds: float | None = None,
        early: bool = False,
        token: StopToken | None = None,
        **options: Any,
    ) -> Synthesizer:
        """Return a `Synthesizer`, for a caller that runs `system.synthesize` itself for several texts at once.

        All arguments are checked now, not at the first piece. max_seconds: raise ValueError if the speech is predicted
        to take longer, its pauses included. early: begin a text that is given as a whole with a shorter piece; the
        samples are then not those of `speak`. token: rests while a text stream is waited for. Other arguments and
        errors as for `speak`.
        """
        check_retries(retries)
        checker = self.transcript_checker(verify)
        planner, seed = self.planner(voice, lang=lang, **options)
        if isinstance(text, Iterator) or (isinstance(text, Iterable) and not isinstance(text, Sequence)):
            if ssml:
                raise ValueError("ssml=True needs the document as one str")
            texts = text if token is None else token.input(text)
            planned = planner.plan_stream(texts, lexicon=lexicon, format=check_format(format), strict=strict)
        else:
            segments = parse_text(text, ssml=ssml, format=format, strict=strict, lexicon=lexicon, lang=lang)
            planned = planner.plan(segments, max_seconds=max_seconds, early=early)
        return Synthesizer(planner, planned, seed, retries, checker=checker)

    def preview(
        self,
        text: Text,
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        lang: str = "en",
        ssml: bool = False,
        format: str = "auto",
        strict: bool | None = None,
        lexicon: Lexicon | None = None,
        **options: Any,
    ) -> Preview:
        """Return how `speak` would say the text: words, pieces, changes with their rules, predicted seconds.

        Arguments and errors as for `speak`.
        """
        planner = self.planner(voice, lang=lang, **options)[0]
        return preview(planner, parse_text(text, ssml=ssml, format=format, strict=strict, lexicon=lexicon, lang=lang))

    def planner(
        self,
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        lang: str = "en",
        like: Recording | None = None,
        like_text: str | None = None,
        **options: Any,
    ) -> tuple[Planner, int]:
        """Return a planner for texts in this voice, and the seed to speak them with. Arguments and errors as for
        `speak`; RuntimeError in a process that was forked after the model was loaded."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "this process was forked after the model was loaded, and the model's threads are missing in it; "
                "load the model in the new process, or start processes with the method 'spawn'"
            )
        prosody = frozenset(name for name in PROSODY_LIMITS if options.get(name) is not None)
        options = {name: value for name, value in options.items() if name not in PROSODY_LIMITS or name in prosody}
        chosen = SpeakOptions.from_dict(options, "speak")
        speaker = voice if isinstance(voice, Voice) else find_voice(chosen.voice if voice is None else voice)
        sampling = self.system.sampling
        chosen.check_engine(sampling.OPTIONS)
        recommended = {
            f.name: getattr(sampling, f.name)
            for f in dataclasses.fields(sampling)
            if getattr(chosen, f.name, ...) is None
        }
        seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
        planner = Planner(self.system, speaker, chosen.replace(voice=speaker.name, seed=seed, **recommended), lang)
        if like is not None:
            words = like.transcript if like_text is None and isinstance(like, Voice) else like_text
            said = None if words is None else parse_text(words, lang=lang)
            recording = Like(planner, like, said, prosody, self._load_letter_timer)
            planner = Planner(self.system, planner.voice, recording.options, lang, recording)
        elif like_text is not None:
            raise ValueError("like_text is the transcript of like; give the recording, too")
        return planner, seed

    def _load_letter_timer(self) -> Any:
        """Return the letter timer, which finds the letters of a text in a recording. It is loaded once."""
        if self._letter_timer is None:
            from vivavoce.systems.load import load_letter_timer  # imported here because it loads torch

            self._letter_timer = load_letter_timer(self.system)
        return self._letter_timer

    def convert(
        self,
        audio: str | os.PathLike[str] | tuple[npt.ArrayLike, int] | Speech,
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        text: Text | None = None,
        lang: str = "en",
        seed: int | None = None,
        whisper: str | os.PathLike[str] | None = None,
        semantic: str = "bundled",
        progress: Progress | None = None,
        **options: Any,
    ) -> Speech:
        """Return a recording in another voice, as long as it was, with its words at their times.

        audio: the path of a recording of any length, its samples [S], mono, and their rate in Hz, or a `Speech`;
        samples are floats from -1 to 1, or signed integers. Convert only the speech of people who consent. voice, seed:
        as for `speak`. text: the words of the recording, of at most two
        minutes; the model then speaks the text itself, with the recording's timing, which models without a channel of
        semantic codes can do, too. lang: of the text. whisper: the weights of Whisper base, an openai-whisper .pt file
        or a CTranslate2 model.bin; None: those of the extra `convert`, or of the variable VIVAVOCE_WHISPER; not needed
        with a text. semantic: the folder of the semantic model whose codes the model reads. progress: called with the
        part that is done, 0 to 1. options: steps, method, cfg, sway_coef and temperature as for `speak`.
        Warns as `speak`. Raises ValueError for a model that has no channel of semantic codes, missing weights of
        Whisper, a recording that is unreadable, silent or shorter than 0.2 s,
        a text that could not be spoken in the recording's time (other wrong words are not noticed), and as `speak`.
        """
        given = {"seed": seed, "whisper": whisper, "semantic": semantic, "progress": progress, **options}
        parts = self.convert_stream(audio, voice, text=text, lang=lang, **given)
        return Speech.join(parts, "" if text is None else _joined(text))

    def convert_stream(
        self,
        audio: str | os.PathLike[str] | tuple[npt.ArrayLike, int] | Speech,
        voice: str | os.PathLike[str] | Voice | None = None,
        *,
        text: Text | None = None,
        lang: str = "en",
        seed: int | None = None,
        whisper: str | os.PathLike[str] | None = None,
        semantic: str = "bundled",
        progress: Progress | None = None,
        **options: Any,
    ) -> Iterator[Speech]:
        """Yield a recording in another voice piece by piece. Arguments, warnings and errors as for `convert`.

        Bad arguments raise here and not during iteration.
        """
        if text is None:
            check_converts(self.system, self.model)
        else:
            check_times(self.system, self.model)
        for name in ("speed", *PROSODY_LIMITS, "like"):
            if name in options:
                raise ValueError(f"{name} is given; a converted recording keeps its own")
        planner, chosen = self.planner(voice, lang=lang, seed=seed, **options)
        samples, rate = check_recording(audio, self.sample_rate)
        if text is not None:
            segments = parse_text(text, lang=lang)
            if any(segment.pause or segment.speed != 1.0 for segment in segments):
                warnings.warn(
                    "the recording gives the timing: pauses and speeds in the text have no effect", stacklevel=2
                )
            timer, planned = self._load_letter_timer(), list(planner.plan(segments))
            planned = timed_plan(planner, planned, timer, samples, rate)
            return _warn(run(Synthesizer(planner, iter(planned), chosen), progress))
        if self._code_reader is None or self._code_reader[0] != (whisper, semantic):
            from vivavoce.systems.load import load_code_reader  # imported here because it loads torch

            self._code_reader = (whisper, semantic), load_code_reader(whisper, semantic)
        reader = self._code_reader[1]
        parts = converted(self.system, reader, samples, rate, planner.voice, planner.options, chosen, progress)
        return (Speech(part, self.sample_rate, seed=chosen) for part in parts)

    def transcript_checker(self, verify: str | Recognizer | None) -> TranscriptChecker | None:
        """Return the checker for `verify` as in `speak`. Whisper is loaded once.

        Raises ValueError for another value, and if the extra `eval` is missing.
        """
        if verify == "asr":
            if self._recognizer is None:
                self._recognizer = load_recognizer()
            verify = self._recognizer
        if verify is None:
            return None
        if isinstance(verify, str) or not hasattr(verify, "transcribe"):
            raise ValueError(f"verify is {verify!r}; it must be asr, None or a recogniser")
        return TranscriptChecker(verify, self.languages[0])


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(words for _, words in text)


def _warn(parts: Iterator[Part]) -> Iterator[Speech]:
    """Yield the speech of the parts, and issue their notices as warnings."""
    for speech, notices in parts:
        for notice in notices:
            warnings.warn(notice, stacklevel=2)
        if speech is not None:
            yield speech


def load(
    model: str = "bundled",
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    vocoder: str | None = None,
    bits: int | None = None,
) -> TTS:
    """Load a model.

    model: "nanospeech" (or "bundled", its alias), "whisperspeech", a folder written by `vivavoce export`, a folder of
    published nanospeech or WhisperSpeech weights, or a model's name on the Hugging Face hub. If a published
    WhisperSpeech offers several files, name them after a colon: "owner/name:t2s-a.model,s2a-b.model".
    backend: onnx, torch, mlx, or auto: mlx on Apple silicon and torch on a GPU if they are installed, otherwise onnx.
    Published models run only on torch (pip install vivavoce[torch]). device: auto, cpu, cuda (cuda:1
    for the second) or mps. dtype: float32, bfloat16, float16, int8 on onnx, or auto: int8 on onnx for models whose
    config says that it sounds as good, otherwise float32.
    compile: use torch.compile or mx.compile; the first sentence is slow, later ones are faster. vocoder: "bundled", a
    folder or a hub name that replaces the model's own vocoder. bits: 4 or 8, to quantise the weights (mlx only).
    The vocoder of a published model is downloaded here, once. The speaker encoder of a published WhisperSpeech,
    speechbrain/spkrec-ecapa-voxceleb, is downloaded at the first voice without a vector of that encoder.
    Raises ValueError, naming the value, for anything else and for files that are missing or damaged.
    """
    require_choice("backend", backend, BACKENDS)
    require_choice("device", device if not device.removeprefix("cuda:").isdecimal() else "cuda", DEVICES)
    require_choice("dtype", dtype, DTYPES)
    from vivavoce.systems.load import load_system  # imported here because it loads torch or mlx

    name = "nanospeech" if model == "bundled" else model
    return TTS(load_system(model, backend, device, dtype, compile, vocoder, bits), name)
