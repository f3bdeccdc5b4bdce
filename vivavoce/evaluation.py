"""How good is the speech? Word errors by a recogniser, words skipped and repeated, likeness to the voice, predicted
opinion scores, and how fast it is beside its reference.

A `Judge` turns a `Clip` (sound, what it should say, whose voice it should be) into a `Score`; `summarise` turns scores
into a `Table`: the mean over the clips of each voice, then the mean over the voices, so that every voice counts alike.
The packages behind it come with the extra `eval` and are imported when a judge is built, not before.
Knows nothing about models or how clips come about: recordings are scored as generated speech is. `evaluate.py` does.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vivavoce import audio
from vivavoce.text import normalise

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Samples = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, what the recogniser and DNSMOS take
OTHERS = "others"  # the row of speakers that are not compared one by one; it is left out of the mean over voices
PACKAGES = (
    "vivavoce",
    "torch",
    "faster-whisper",
    "ctranslate2",
    "jiwer",
    "whisper-normalizer",
    "speechmos",
    "onnxruntime",
)


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
    """What is wrong with the words, all from 0 to 1: shares of words and of characters, as `word_errors` counts."""

    wer: float
    cer: float
    skipped: float
    repeated: float


@functools.cache
def _normaliser(language: str) -> Callable[[str], str]:
    """Whisper's own for English; for the others the one that only takes case and punctuation away."""
    if language == "en":
        english: Callable[[str], str] = _need("whisper_normalizer.english").EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = _need("whisper_normalizer.basic").BasicTextNormalizer()
    return basic


def _spelled(text: str, language: str) -> str:
    """As the front end reads it in that language; as it is where it does not read that."""
    try:
        return normalise(text, language)[0]
    except ValueError:
        return text


def _as_said(text: str, language: str) -> str:
    """With all that is written short spelled out, as the front end reads it: "BA117" and "B A one seventeen"."""
    # Whisper's normaliser drops what is in brackets, and takes an ellipsis between spaces for a word
    return re.sub("[()…]", ",", _spelled(text, language))


class Aligned(NamedTuple):
    """What was heard beside what was to be said, in Whisper's normalised words."""

    errors: WordErrors
    skipped: tuple[str, ...]  # the words of the text that were not heard
    repeated: tuple[str, ...]  # the words that were heard once more


def word_errors(reference: str, hypothesis: str, language: str = "en") -> WordErrors:
    """Word and character error rate, and the rates of skipped and repeated words, of what was heard.

    Both texts go through Whisper's English normaliser (case, punctuation, numbers, spelling; for another language the
    basic one) and are aligned with the fewest substitutions, deletions and insertions of words. That is done with the
    texts as they are, and with numbers, symbols and initials spelled out as the front end reads them; of English also
    with the words of these numbers left as they are, for the normaliser makes one of "seven six, six four", 7664. The
    best agreement counts: how a recogniser chooses to write what it heard is no error of the speech. Nor is a place
    where both sides differ only in the spaces ("every day" and "everyday"). `skipped` and `repeated` count, for each
    word of the text:

    - skipped: the words of the text that are deletions in the alignment.
    - repeated: the words heard that are insertions and say once more what stands beside them. That is: heard is a
      stretch of words twice in a row, and at least as many words of the two as the stretch is long were inserted. So
      "the the cat" for "the cat" has one, "on the mat on the mat" for "on the mat" three, "no no" for "no no" none.

    A word heard as another is neither.
    All are capped at 1: a recogniser that loops over babble writes many more words than were said, and one such clip
    must not outweigh many good ones. Where nothing of the reference is left after normalising, the error rates are 0
    if nothing was heard either, else 1, and nothing was skipped or repeated.
    """
    return align(reference, hypothesis, language).errors


def align(reference: str, hypothesis: str, language: str = "en") -> Aligned:
    """`word_errors`, and which words they are."""
    normalised = _normaliser(language)
    found = _align(normalised(reference), normalised(hypothesis))
    if not found.errors.wer:
        return found
    said, heard = _as_said(reference, language), _as_said(hypothesis, language)
    tried = [found, _align(normalised(said), normalised(heard))]
    if language == "en":
        tried.append(_align(_plain(said), _plain(heard)))
    return min(tried, key=lambda aligned: aligned.errors.wer)


def _plain(text: str) -> str:
    """The words of a text as they are, but for case, punctuation and accents."""
    plain: str = _need("whisper_normalizer.basic").BasicTextNormalizer(remove_diacritics=True)(text)
    return plain


def _align(said: str, heard: str) -> Aligned:
    """How the words of two normalised texts agree."""
    jiwer = _need("jiwer")
    if not said.strip():
        rate = 1.0 if heard.strip() else 0.0
        return Aligned(WordErrors(rate, rate, 0.0, 0.0), (), ())
    aligned = jiwer.process_words(said, heard)
    text, words = aligned.references[0], aligned.hypotheses[0]
    wrong = aligned.substitutions + aligned.deletions + aligned.insertions
    skipped, inserted = list[str](), set[int]()
    for chunks in _differences(aligned.alignments[0]):
        first, last = chunks[0], chunks[-1]
        ours = "".join(text[first.ref_start_idx : last.ref_end_idx])
        if ours == "".join(words[first.hyp_start_idx : last.hyp_end_idx]):
            # "every day" and "everyday"; a chunk of substitutions has as many words on one side as on the other
            wrong -= sum(max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx) for c in chunks)
            continue
        skipped += [text[i] for c in chunks if c.type == "delete" for i in range(c.ref_start_idx, c.ref_end_idx)]
        inserted.update(i for c in chunks if c.type == "insert" for i in range(c.hyp_start_idx, c.hyp_end_idx))
    again = [words[i] for i in sorted(_said_again(words, inserted))]
    rates = (wrong / len(text), jiwer.cer(said, heard), len(skipped) / len(text), len(again) / len(text))
    return Aligned(WordErrors(*(min(1.0, float(rate)) for rate in rates)), tuple(skipped), tuple(again))


def _differences(chunks: Sequence[Any]) -> list[list[Any]]:
    """The stretches of an alignment between words that are equal on both sides."""
    runs: list[list[Any]] = [[]]
    for chunk in chunks:
        if chunk.type == "equal":
            runs.append([])
        else:
            runs[-1].append(chunk)
    return [run for run in runs if run]


def _said_again(words: Sequence[str], inserted: set[int]) -> set[int]:
    """The `inserted` positions in `words` that lie in a stretch said twice in a row, as `word_errors` tells."""
    again: set[int] = set()
    for length in range(1, len(words) // 2 + 1) if inserted else ():
        for i in range(len(words) - 2 * length + 1):
            if words[i : i + length] == words[i + length : i + 2 * length]:
                # Either of the two may be what the alignment calls inserted, or the end of one and the start of the
                # other: "a b a b" for "a b" can have its first, middle or last two inserted.
                found = inserted.intersection(range(i, i + 2 * length))
                again |= found if len(found) >= length else set()
    return again


class Recogniser:
    """Whisper on faster-whisper, decoding greedily: the same sound gives the same words."""

    def __init__(
        self,
        path_or_size: str | os.PathLike[str] = "base",
        language: str = "en",
        threads: int = 0,
        workers: int = 1,
    ) -> None:
        """path_or_size: folder with a CTranslate2 Whisper model, or a size that faster-whisper downloads.

        threads: CPU threads for one clip; 0: CTranslate2's choice, which heeds OMP_NUM_THREADS. workers: how many
        clips may be transcribed at once, by calls from as many threads. Computes in float32 on the CPU: 8-bit weights
        take two thirds of the time but mishear more (100 recordings: 4.1 % of words instead of 3.0 %).
        Raises ValueError where the extra `eval` is missing, the name is neither, or the model cannot be read.
        """
        faster_whisper = _need("faster_whisper")
        name = os.fspath(path_or_size)
        sizes = faster_whisper.available_models()
        if not Path(name).is_dir() and name not in sizes:
            raise ValueError(f"{name}: neither a folder with a CTranslate2 Whisper model nor one of {', '.join(sizes)}")
        try:
            self.model = faster_whisper.WhisperModel(
                name, device="cpu", compute_type="float32", cpu_threads=threads, num_workers=workers
            )
        except Exception as error:  # CTranslate2, the hub client and the tokenizer each raise types of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{name}: Whisper cannot be loaded ({reason})") from None
        self.language = language

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        """What is heard. samples: [S], -1 to 1; sample_rate: Hz; language: its code, if another than usual.

        Nothing heard: an empty string.
        """
        wave = audio.resample(samples, sample_rate, SAMPLE_RATE)
        segments, _ = self.model.transcribe(
            wave,
            language=language or self.language,
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


# --- pace ------------------------------------------------------------------------------------------------------------


def spoken_letters(text: str, language: str = "en") -> int:
    """Letters and digits of a text with its numbers, dates and symbols written out as they are said."""
    return sum(map(str.isalnum, _spelled(text, language)))


def pace(letters: int, samples: npt.ArrayLike, sample_rate: int) -> float | None:
    """Letters a second, from the first sound to the last (pauses between words count). None where either is missing.

    samples: [S], -1 to 1; sample_rate: Hz.
    """
    sound = len(audio.trim_silence(samples, sample_rate, margin=0.0))
    return letters * sample_rate / sound if letters and sound else None


# --- clips to table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clip:
    """One piece of speech to be judged."""

    key: str
    voice: str  # whose voice it should be; the row of the table
    text: str  # what it should say
    samples: Samples  # [S], -1 to 1
    sample_rate: int  # Hz
    languages: tuple[str, ...] = ("en",)  # of the text, that of most letters first
    letters: int = field(init=False)  # `spoken_letters` of the text

    def __post_init__(self) -> None:
        # Here, not where the clip is judged: clips are judged in several threads, and writing numbers out is for one.
        object.__setattr__(self, "letters", spoken_letters(self.text, self.languages[0]))


@dataclass(frozen=True)
class Score:
    """What the judge found. None: not judged, for there is no reference of that voice or no judge for it."""

    key: str
    voice: str
    text: str
    heard: str
    seconds: float
    wer: float  # 0 to 1, as the next three: see `word_errors`
    cer: float
    skipped: float
    repeated: float
    similarity: float | None = None  # to the voice's reference, -1 to 1
    nearest: str | None = None  # the reference that the clip is most like
    ovrl: float | None = None
    sig: float | None = None
    bak: float | None = None
    rate: float | None = None  # `pace` of the clip over that of the voice's reference; 1: as fast
    failure: str | None = None  # why there was no speech to judge; all its words count as wrong and as skipped
    lang: str = "en"  # the language that the recogniser was told

    @property
    def right_voice(self) -> float | None:
        """1.0 where the nearest reference is the voice's own, else 0.0."""
        return None if self.nearest is None else float(self.nearest == self.voice)

    @classmethod
    def silent(cls, key: str, voice: str, text: str, failure: str) -> Score:
        """Of a clip that could not be made: all words wrong and skipped, nothing else judged."""
        return cls(key, voice, text, "", 0.0, wer=1.0, cer=1.0, skipped=1.0, repeated=0.0, failure=failure)


class Reference(NamedTuple):
    """What a voice should be like."""

    vector: Vector  # of length 1, [V]
    pace: float | None  # letters a second; None where it is not known what is said


class Hears(Protocol):
    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str) -> str: ...


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
    references: dict[str, Reference] = field(default_factory=dict)

    def add_reference(self, voice: str, samples: npt.ArrayLike, sample_rate: int, text: str | None = None) -> None:
        """Make `voice` known by a recording [S]; text: what is said in it, where that is known.

        Raises ValueError where there is no similarity judge.
        """
        if self.similarity is None:
            raise ValueError(f"a reference for {voice} needs a similarity judge")
        vector = self.similarity.embed(samples, sample_rate)
        self.references[voice] = Reference(vector, pace(spoken_letters(text or ""), samples, sample_rate))

    def score(self, clip: Clip) -> Score:
        """Judge one clip. Raises ValueError, naming the clip, where its samples are missing or not finite."""
        if not len(clip.samples) or not np.isfinite(clip.samples).all():
            what = "not all finite" if len(clip.samples) else "missing"
            raise ValueError(f"clip {clip.key} of {clip.voice}: samples are {what}, so it cannot be scored")
        lang, heard, errors = self._words(clip)
        similarity, nearest = self._likeness(clip)
        opinion = self.dnsmos.score(clip.samples, clip.sample_rate) if self.dnsmos else None
        return Score(
            key=clip.key,
            voice=clip.voice,
            text=clip.text,
            heard=heard,
            seconds=len(clip.samples) / clip.sample_rate,
            **errors._asdict(),
            similarity=similarity,
            nearest=nearest,
            ovrl=opinion.ovrl if opinion else None,
            sig=opinion.sig if opinion else None,
            bak=opinion.bak if opinion else None,
            rate=self._rate(clip),
            lang=lang,
        )

    def _words(self, clip: Clip) -> tuple[str, str, WordErrors]:
        """The language that the recogniser was told, what it heard, and what is wrong with it.

        A recogniser hears one language, so a clip of several is listened to in each, and what is nearest to the text
        counts: told the other one, Whisper translates rather than writes down.
        """
        tried = []
        for language in clip.languages:
            heard = self.recogniser.transcribe(clip.samples, clip.sample_rate, language)
            tried.append((language, heard, word_errors(clip.text, heard, language)))
        return min(tried, key=lambda found: found[2].wer)

    def _likeness(self, clip: Clip) -> tuple[float | None, str | None]:
        if self.similarity is None or clip.voice not in self.references:
            return None, None
        vector = self.similarity.embed(clip.samples, clip.sample_rate)
        likeness = {name: float(vector @ reference.vector) for name, reference in self.references.items()}
        # A silent clip is like nobody; "" is never a voice's name, so it counts as the wrong one.
        nearest = max(likeness, key=likeness.__getitem__) if np.any(vector) else ""
        return likeness[clip.voice], nearest

    def _rate(self, clip: Clip) -> float | None:
        reference = self.references.get(clip.voice)
        found = pace(clip.letters, clip.samples, clip.sample_rate)
        return None if reference is None or reference.pace is None or found is None else found / reference.pace


@dataclass(frozen=True)
class Row:
    """Means over the clips of one voice, or over voices. Rates from 0 to 1; None: not judged."""

    voice: str
    clips: int
    wer: float
    cer: float
    skipped: float
    repeated: float
    similarity: float | None
    right_voice: float | None  # share of clips whose nearest reference is the right one
    ovrl: float | None
    sig: float | None
    bak: float | None
    rate: float | None


METRICS = ("wer", "cer", "skipped", "repeated", "similarity", "right_voice", "ovrl", "sig", "bak", "rate")

# What fits a terminal of 80 columns: metric -> its head, digits after the point, what it is multiplied with.
SHOWN: dict[str, tuple[str, int, float]] = {
    "wer": ("WER %", 1, 100),
    "cer": ("CER %", 1, 100),
    "skipped": ("skip %", 1, 100),
    "repeated": ("rep %", 1, 100),
    "similarity": ("likeness", 3, 1),
    "right_voice": ("right %", 0, 100),
    "ovrl": ("OVRL", 2, 1),
    "rate": ("rate", 2, 1),
}
HEAD = ("voice", "n", *(head for head, _, _ in SHOWN.values()))


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

    @property
    def _summary(self) -> list[Row]:
        return [row for row in (self.mean, self.all_clips) if row is not None]

    def rich(self) -> RichTable:
        """For `rich.console.Console().print`. benchmarks/README.md explains the columns."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text  # a name is no markup, whatever brackets it has

        table = RichTable(
            title=Text(self.title, style="italic"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
            show_edge=False,
        )
        for i, head in enumerate(HEAD):
            table.add_column(head, justify="right" if i else "left", no_wrap=i > 0)  # no digit may be cut off
        for row in self.rows:
            table.add_row(*map(Text, _cells(row)))
        if self.rows:
            table.add_section()
        for row in self._summary:
            table.add_row(*map(Text, _cells(row)), style="bold")
        return table

    def plain(self) -> str:
        """Lines with a column every few places, two spaces or more between them, for files and other programs."""
        lines = [list(HEAD), *map(_cells, (*self.rows, *self._summary))]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        return "\n".join([self.title, *text])


def _cells(row: Row) -> list[str]:
    def cell(metric: str) -> str:
        value, (_, digits, factor) = getattr(row, metric), SHOWN[metric]
        return "–" if value is None else f"{value * factor:.{digits}f}"

    return [row.voice, str(row.clips), *map(cell, SHOWN)]


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
