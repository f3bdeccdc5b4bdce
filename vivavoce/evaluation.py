"""How good is the speech? Word errors by a recogniser, likeness to the voice, and predicted opinion scores.

A `Judge` turns a `Clip` (sound, what it should say, whose voice it should be) into a `Score`; `summarise` turns scores
into a `Table`: the mean over the clips of each voice, then the mean over the voices, so that every voice counts alike.
The packages behind it come with the extra `eval` and are imported when a judge is built, not before.
Knows nothing about models or how clips come about: recordings are scored as generated speech is.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vivavoce import audio

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Samples = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, what the recogniser and DNSMOS take
OTHERS = "others"  # the row of speakers that are not compared one by one; it is left out of the mean over voices
PACKAGES = ("faster-whisper", "ctranslate2", "jiwer", "whisper-normalizer", "speechmos", "onnxruntime")


def _need(module: str) -> ModuleType:
    """Import a module of the extra `eval`, or say in one line how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"evaluation needs {module} ({error}): pip install vivavoce[eval]") from None


def versions() -> dict[str, str]:
    """Version of each package that takes part in scoring, "missing" where it is not installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


# --- words -----------------------------------------------------------------------------------------------------------


class WordErrors(NamedTuple):
    """Share of words and of characters that are wrong, both from 0 to 1."""

    wer: float
    cer: float


@functools.cache
def _english() -> Callable[[str], str]:
    normaliser: Callable[[str], str] = _need("whisper_normalizer.english").EnglishTextNormalizer()
    return normaliser


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Word and character error rate after Whisper's English normaliser (case, punctuation, numbers, spelling).

    Both are capped at 1: a recogniser that loops over babble writes many more words than were said, and one such clip
    must not outweigh many good ones. Where nothing of the reference is left after normalising, the rates are 0 if
    nothing was heard either, else 1.
    """
    jiwer = _need("jiwer")
    said, heard = _english()(reference), _english()(hypothesis)
    if not said.strip():
        rate = 1.0 if heard.strip() else 0.0
        return WordErrors(rate, rate)
    return WordErrors(min(1.0, float(jiwer.wer(said, heard))), min(1.0, float(jiwer.cer(said, heard))))


class Recogniser:
    """Whisper on faster-whisper, decoding greedily: the same sound gives the same words."""

    def __init__(self, path_or_size: str | os.PathLike[str] = "base", language: str = "en", threads: int = 0) -> None:
        """path_or_size: folder with a CTranslate2 Whisper model, or a size that faster-whisper downloads.

        threads: CPU threads; 0: CTranslate2's choice, which heeds OMP_NUM_THREADS. Computes in float32 on the CPU:
        8-bit weights take two thirds of the time but mishear more (100 recordings: 4.1 % of words instead of 3.0 %).
        Raises ValueError where the extra `eval` is missing, the name is neither, or the model cannot be read.
        """
        faster_whisper = _need("faster_whisper")
        name = os.fspath(path_or_size)
        sizes = faster_whisper.available_models()
        if not Path(name).is_dir() and name not in sizes:
            raise ValueError(f"{name}: neither a folder with a CTranslate2 Whisper model nor one of {', '.join(sizes)}")
        try:
            self.model = faster_whisper.WhisperModel(name, device="cpu", compute_type="float32", cpu_threads=threads)
        except Exception as error:  # CTranslate2, the hub client and the tokenizer each raise types of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{name}: Whisper cannot be loaded ({reason})") from None
        self.language = language

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int) -> str:
        """What is heard. samples: [S], -1 to 1; sample_rate: Hz. Nothing heard: an empty string."""
        wave = audio.resample(samples, sample_rate, SAMPLE_RATE)
        segments, _ = self.model.transcribe(
            wave,
            language=self.language,
            beam_size=1,
            best_of=1,
            temperature=0.0,  # one value: no second try with sampling where the first looks poor
            condition_on_previous_text=False,
            vad_filter=False,
        )
        return "".join(segment.text for segment in segments).strip()


# --- voice -----------------------------------------------------------------------------------------------------------


class Similarity:
    """How alike two voices are: the dot product of GE2E speaker vectors, 1 for the same, by `speaker_torch`.

    That is Resemblyzer's network with Resemblyzer's weights; the package itself would bring webrtcvad, which has to be
    compiled and has had no release since 2017, and librosa with numba. Instead of cutting pauses out with a voice
    detector, silence is trimmed at both ends.
    """

    def __init__(self) -> None:
        from vivavoce.speaker_torch import load_speaker_encoder

        self.encoder = load_speaker_encoder()

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Vector:
        """samples: [S], sample_rate: Hz -> unit vector [V]; zeros [V], alike to nothing, where all is silent."""
        wave = audio.trim_silence(samples, sample_rate)
        if not len(wave):
            return np.zeros(self.encoder.config.speaker_dim, dtype=np.float32)
        return self.encoder.embed(wave, sample_rate)


# --- opinion ---------------------------------------------------------------------------------------------------------


class Opinion(NamedTuple):
    """Predicted mean opinion scores, about 1 (bad) to 5 (excellent): overall, of the speech, of the background."""

    ovrl: float
    sig: float
    bak: float


class Dnsmos:
    """DNSMOS P.835 (Reddy and others 2021, arXiv:2110.01763), with the network that the package speechmos carries.

    Only its weights are used: the package's own code needs librosa, which it does not ask for when installed. What is
    around the network is the published procedure: stretches of 9.01 s, one starting each second, a shorter clip
    repeated until it is long enough, and a polynomial that maps each raw score.
    """

    STRETCH = 144_160  # samples: 9.01 s, the network's input
    STEP = SAMPLE_RATE
    # of DNS-Challenge's dnsmos_local.py, highest power first
    OVRL = (-0.06766283, 1.11546468, 0.04602535)
    SIG = (-0.08397278, 1.22083953, 0.0052439)
    BAK = (-0.13166888, 1.60915514, -0.39604546)

    def __init__(self, threads: int = 1) -> None:
        """threads: CPU threads. Raises ValueError where the extra `eval` is missing."""
        onnxruntime = _need("onnxruntime")
        spec = importlib.util.find_spec("speechmos")
        if spec is None or spec.origin is None:
            raise ValueError("evaluation needs speechmos: pip install vivavoce[eval]")
        path = Path(spec.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        if not path.is_file():
            raise ValueError(f"{path}: no such file; speechmos 0.0.1.1 has it: pip install vivavoce[eval]")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def score(self, samples: npt.ArrayLike, sample_rate: int) -> Opinion:
        """samples: [S], -1 to 1 (clipped beyond, as a WAV file would be), at least one; sample_rate: Hz."""
        wave = np.clip(audio.resample(samples, sample_rate, SAMPLE_RATE), -1, 1)
        if not len(wave):
            raise ValueError("a sound without samples cannot be scored")
        while len(wave) < self.STRETCH:
            wave = np.concatenate([wave, wave])
        # The published code computes each end in floating point and skips a stretch that comes out one sample short:
        # of the 13 stretches of a 22 s clip 7 are left. Figures are only comparable where the same ones are skipped.
        count = max(1, len(wave) // self.STEP - 9)
        ends = [int((i + 9.01) * self.STEP) for i in range(count)]
        starts = [i * self.STEP for i in range(count) if ends[i] - i * self.STEP >= self.STRETCH]
        raw = [self.session.run(None, {"input_1": wave[None, s : s + self.STRETCH]})[0][0] for s in starts]
        sig, bak, ovrl = np.asarray(raw, dtype=np.float64).T  # each [stretches]
        means = (np.polyval(c, x).mean() for c, x in ((self.OVRL, ovrl), (self.SIG, sig), (self.BAK, bak)))
        return Opinion(*map(float, means))


# --- clips to table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clip:
    """One piece of speech to be judged."""

    key: str
    voice: str  # whose voice it should be; the row of the table
    text: str  # what it should say
    samples: Samples  # [S], -1 to 1
    sample_rate: int  # Hz


@dataclass(frozen=True)
class Score:
    """What the judge found. None: not judged, for there is no reference of that voice or no judge for it."""

    key: str
    voice: str
    text: str
    heard: str
    seconds: float
    wer: float  # 0 to 1
    cer: float  # 0 to 1
    similarity: float | None = None  # to the voice's reference, -1 to 1
    nearest: str | None = None  # the reference that the clip is most like
    ovrl: float | None = None
    sig: float | None = None
    bak: float | None = None
    failure: str | None = None  # why there was no speech to judge; all its words count as wrong

    @property
    def right_voice(self) -> float | None:
        """1.0 where the nearest reference is the voice's own, else 0.0."""
        return None if self.nearest is None else float(self.nearest == self.voice)


class Hears(Protocol):
    def transcribe(self, samples: npt.ArrayLike, sample_rate: int) -> str: ...


class Embeds(Protocol):
    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Vector: ...


class Rates(Protocol):
    def score(self, samples: npt.ArrayLike, sample_rate: int) -> Opinion: ...


@dataclass
class Judge:
    """Recogniser, and where they are wanted: likeness to reference voices and DNSMOS."""

    recogniser: Hears
    similarity: Embeds | None = None
    dnsmos: Rates | None = None
    references: dict[str, Vector] = field(default_factory=dict)  # voice -> unit vector [V]

    def add_reference(self, voice: str, samples: npt.ArrayLike, sample_rate: int) -> None:
        """Make `voice` known by a recording [S]. Raises ValueError where there is no similarity judge."""
        if self.similarity is None:
            raise ValueError(f"a reference for {voice} needs a similarity judge")
        self.references[voice] = self.similarity.embed(samples, sample_rate)

    def score(self, clip: Clip) -> Score:
        """Judge one clip. Raises ValueError, naming the clip, where its samples are missing or not finite."""
        if not len(clip.samples) or not np.isfinite(clip.samples).all():
            what = "not all finite" if len(clip.samples) else "missing"
            raise ValueError(f"clip {clip.key} of {clip.voice}: samples are {what}, so it cannot be scored")
        heard = self.recogniser.transcribe(clip.samples, clip.sample_rate)
        errors = word_errors(clip.text, heard)
        similarity, nearest = self._likeness(clip)
        opinion = self.dnsmos.score(clip.samples, clip.sample_rate) if self.dnsmos else None
        return Score(
            key=clip.key,
            voice=clip.voice,
            text=clip.text,
            heard=heard,
            seconds=len(clip.samples) / clip.sample_rate,
            wer=errors.wer,
            cer=errors.cer,
            similarity=similarity,
            nearest=nearest,
            ovrl=opinion.ovrl if opinion else None,
            sig=opinion.sig if opinion else None,
            bak=opinion.bak if opinion else None,
        )

    def _likeness(self, clip: Clip) -> tuple[float | None, str | None]:
        if self.similarity is None or clip.voice not in self.references:
            return None, None
        vector = self.similarity.embed(clip.samples, clip.sample_rate)
        likeness = {name: float(vector @ reference) for name, reference in self.references.items()}
        # A silent clip is like nobody; "" is never a voice's name, so it counts as the wrong one.
        nearest = max(likeness, key=likeness.__getitem__) if np.any(vector) else ""
        return likeness[clip.voice], nearest


@dataclass(frozen=True)
class Row:
    """Means over the clips of one voice, or over voices. Rates from 0 to 1; None: not judged."""

    voice: str
    clips: int
    wer: float
    cer: float
    similarity: float | None
    right_voice: float | None  # share of clips whose nearest reference is the right one
    ovrl: float | None
    sig: float | None
    bak: float | None


METRICS = ("wer", "cer", "similarity", "right_voice", "ovrl", "sig", "bak")


@dataclass(frozen=True)
class Table:
    """The result: one row a voice, their mean, and the mean over all clips."""

    title: str
    rows: tuple[Row, ...]
    mean: Row | None  # of the voices, each counting alike; None where there are no clips
    all_clips: Row | None
    scores: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with every clip's score."""
        return asdict(self)

    def rich(self) -> RichTable:
        """For `rich.console.Console().print`. Likeness: to the voice's reference. Right: share of the right voice."""
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(
            title=self.title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False
        )
        table.add_column("voice", no_wrap=True)
        for name in ("clips", "WER %", "CER %", "likeness", "right %", "OVRL", "SIG", "BAK"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row))
        summary = [row for row in (self.mean, self.all_clips) if row is not None]
        if self.rows and summary:
            table.add_section()
            for row in summary:
                table.add_row(*_cells(row), style="bold")
        return table


def _cells(row: Row) -> list[str]:
    def number(value: float | None, digits: int, factor: float = 1) -> str:
        return "–" if value is None else f"{value * factor:.{digits}f}"

    return [
        row.voice,
        str(row.clips),
        number(row.wer, 1, 100),
        number(row.cer, 1, 100),
        number(row.similarity, 3),
        number(row.right_voice, 0, 100),
        number(row.ovrl, 2),
        number(row.sig, 2),
        number(row.bak, 2),
    ]


def _mean(voice: str, clips: int, items: Sequence[Score] | Sequence[Row]) -> Row:
    """Each metric's mean over the items that have it."""
    means: dict[str, Any] = {}
    for metric in METRICS:
        values = [getattr(item, metric) for item in items]
        known = [value for value in values if value is not None]
        means[metric] = float(np.mean(known)) if known else None
    return Row(voice=voice, clips=clips, **means)


def summarise(scores: Iterable[Score], title: str = "") -> Table:
    """Mean over the clips of each voice, in the order in which voices first appear, then the mean over voices.

    Speakers gathered under `OTHERS` make a row, which is no voice and counts for the mean over voices only where it is
    the only row.
    """
    scores = tuple(scores)
    by_voice: dict[str, list[Score]] = {}
    for score in scores:
        by_voice.setdefault(score.voice, []).append(score)
    rows = tuple(_mean(voice, len(items), items) for voice, items in by_voice.items())
    if not rows:
        return Table(title, (), None, None, ())
    voices = [row for row in rows if row.voice != OTHERS] or list(rows)
    mean = _mean("mean of voices", sum(row.clips for row in voices), voices)
    return Table(title, rows, mean, _mean("all clips", len(scores), scores), scores)


def evaluate(clips: Iterable[Clip], judge: Judge, title: str = "") -> Table:
    """Judge every clip and summarise."""
    return summarise((judge.score(clip) for clip in clips), title)
