"""Sources of clips: lists of sentences, folders of audio, shards of recordings, speakers to imitate.

An `Item` is a clip that is generated or read only when its turn comes. Knows nothing about models or scores.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce import audio
from vivavoce.audio.dsp import Samples
from vivavoce.data import tar
from vivavoce.data.samples import audio_of, metadata_of
from vivavoce.text.markup import MarkupParser
from vivavoce.text.segments import parse_language
from vivavoce.voices import Voice

MODEL_FILES = (".json", ".safetensors", ".txt", ".yaml", ".bin", ".pt", ".model")
PROMPT_SECONDS = 5.0  # of a speaker's recording, for `speakers_to_imitate`
OTHERS = "others"  # groups speakers that are not compared one by one

Wave = tuple[Samples, int]  # samples [S], Hz


@dataclass(frozen=True)
class Transcript:
    """What a clip says."""

    written: str  # as given, with markup
    text: str  # as spoken
    languages: tuple[str, ...]  # of the text, the one with most letters first


@dataclass(frozen=True, eq=False)
class Item:
    """A clip that does not exist yet."""

    key: str
    voice: str
    transcript: Transcript
    source: str  # fingerprint of everything that the audio depends on
    make: Callable[[], Wave]  # raises SynthesisError if the model produces no speech
    generated: bool = False  # whether `make` synthesizes audio that is worth keeping, or only reads a file


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON-ready values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(folder: Path) -> str:
    """Return a hash of a model folder's files. A missing or empty folder has one too."""
    files = sorted(f for f in folder.glob("*") if f.suffix in MODEL_FILES)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name} {file.stat().st_size} ".encode())
        with open(file, "rb") as data:
            while block := data.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def safe(name: str) -> str:
    """Return a name in a form that is valid as a file name."""
    return re.sub(r"[^\w.=+-]", "-", name).lstrip(".") or "-"


# --- text ------------------------------------------------------------------------------------------------------------


def parse_transcript(written: str, lang: str) -> Transcript:
    """Read a text with markup; `lang` applies where its tags name no language. Raises ValueError for wrong tags."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same warnings appear when the text is spoken
        segments = MarkupParser(lang=lang).parse(written)
    letters: Counter[str] = Counter()
    text = ""
    for segment in segments:
        if count := sum(map(str.isalpha, segment.text)):
            letters[segment.lang or lang] += count
        text += segment.text + " " * (segment.pause > 0)
    languages = tuple(code for code, _ in letters.most_common())
    return Transcript(written, " ".join(text.split()), languages or (lang,))


def read_sentences(path: Path) -> list[str]:
    """Read the non-blank lines of a UTF-8 text file. Raises ValueError if there are none."""
    sentences = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not sentences:
        raise ValueError(f"{path}: no sentences in it; one a line is expected")
    return sentences


def read_text(path: Path) -> str:
    """Read a UTF-8 text file without the white space around it. Raises ValueError if it is not UTF-8 text."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None


# --- recordings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """An audio file that is not decoded yet, its transcript and its speaker."""

    key: str
    voice: str
    transcript: Transcript
    data: bytes | Path

    def wave(self) -> Wave:
        """Decode the audio. Raises ValueError, naming the recording, if it cannot be decoded."""
        source = io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data
        try:
            return audio.read(source, audio.SAMPLE_RATE), audio.SAMPLE_RATE
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from None

    def item(self) -> Item:
        """Return the recording as a clip. Raises OSError if the file is gone."""
        data = self.data if isinstance(self.data, bytes) else self.data.read_bytes()
        source = fingerprint(hashlib.sha256(data).hexdigest(), self.transcript.languages)
        return Item(self.key, self.voice, self.transcript, source, self.wave)


def read_shard(
    shard: Path, known: Sequence[str] | None = None, limit: int | None = None, lang: str = "en"
) -> list[Recording]:
    """Read the samples of a WebDataset shard (vivavoce/data/samples.py describes them).

    lang: for samples that do not state their language. Text in shards has no markup. Speakers that are not in `known`
    are grouped under `OTHERS`; None: all keep their names.
    """
    recordings: list[Recording] = []
    try:
        for sample in tar.read_shard(shard):
            try:
                sound, meta = audio_of(sample.files), metadata_of(sample.files)
                transcript = Transcript(meta.text, meta.text, (parse_language(meta.lang or lang),))
            except ValueError as reason:
                raise ValueError(f"{shard}: {sample.key}: {reason}") from None
            speaker = meta.speaker or OTHERS
            voice = speaker if known is None or speaker in known else OTHERS
            recordings.append(Recording(sample.key, voice, transcript, sound))
    except OSError as error:
        raise ValueError(f"{shard}: cannot be read as a tar file ({error.strerror or error})") from None
    if not recordings:
        raise ValueError(f"{shard}: no recordings in it")
    return recordings[:limit]


def speakers_to_imitate(shard: Path) -> tuple[list[Voice], list[Voice]]:
    """Return each speaker of a shard twice: as a prompt of PROMPT_SECONDS without a transcript, and as a reference.

    The prompt is the start of the speaker's first recording of that length, or of the longest if all are shorter. The
    reference is the longest of the other recordings, with its transcript. Silence is trimmed from both ends of each.
    A speaker with a single recording is skipped with a UserWarning. Raises ValueError if every speaker is.
    """
    by_speaker: dict[str, list[Recording]] = {}
    for recording in read_shard(shard):
        by_speaker.setdefault(recording.voice, []).append(recording)
    single = [name for name, found in by_speaker.items() if len(found) < 2]
    if len(single) == len(by_speaker):
        raise ValueError(f"--speakers {shard}: no speaker has two recordings, one to imitate and one to compare with")
    if single:
        warnings.warn(f"{shard}: skipped, because they have a single recording: {', '.join(single)}", stacklevel=2)
    prompts, references = [], []
    for name in (name for name in by_speaker if name not in single):
        waves = [(r, audio.trim_silence(*r.wave())) for r in by_speaker[name]]
        length = round(PROMPT_SECONDS * audio.SAMPLE_RATE)
        prompt = next((w for w in waves if len(w[1]) >= length), max(waves, key=lambda w: len(w[1])))
        other = max((w for w in waves if w is not prompt), key=lambda w: len(w[1]))
        try:
            file = io.BytesIO(audio.encode(prompt[1][:length], audio.SAMPLE_RATE, "wav"))
            prompts.append(dataclasses.replace(Voice.from_file(file), name=name))
            references.append(Voice(name, other[1], other[0].transcript.text))
        except ValueError as error:
            raise ValueError(f"--speakers {shard}: speaker {name}: {error}") from None
    return prompts, references


def audio_files(path: Path, lists: Sequence[Sequence[str]], lang: str = "en") -> list[Recording]:
    """Read the audio files in a folder and its subfolders. A file's folder is its voice, NAME.txt its transcript.

    Without NAME.txt the transcript is a line of the only list of sentences: line NAME (from 1) if all such names of the
    voice are whole numbers, otherwise the line at the file's position, and the counts must agree.
    lang: for texts whose tags name no language. Raises ValueError, naming the file, if there is no text or a wrong tag.
    """
    files = [f for f in (*path.glob("*"), *path.glob("*/*")) if f.suffix[1:].lower() in audio.FORMATS]
    if not files:
        known = ", ".join(audio.FORMATS)
        raise ValueError(f"{path}: neither a model nor audio in it or one folder below; known formats are {known}")
    texts = {f: read_text(f.with_suffix(".txt")) for f in files if f.with_suffix(".txt").is_file()}
    without = sorted(f for f in files if f not in texts)
    if without and len(lists) != 1:
        needed = "or --sentences FILE" if not lists else "or one list of --sentences, not several"
        raise ValueError(f"{without[0]}: {without[0].stem}.txt is missing beside it, {needed}, to say what is spoken")
    for folder in dict.fromkeys(f.parent for f in without):
        texts |= _numbered([f for f in without if f.parent == folder], lists[0])
    recordings = []
    for f in sorted(files, key=lambda f: (f.stem, f.parent.name)):  # an interrupted run has scored all voices alike
        try:
            recordings.append(Recording(f.stem, f.parent.resolve().name, parse_transcript(texts[f], lang), f))
        except ValueError as error:
            raise ValueError(f"{f}: its text: {error}") from None
    return recordings


def _numbered(files: Sequence[Path], sentences: Sequence[str]) -> dict[Path, str]:
    if all(f.stem.isdecimal() for f in files):
        wrong = [f for f in files if not 1 <= int(f.stem) <= len(sentences)]
        if wrong:
            raise ValueError(f"{wrong[0]}: named as line {int(wrong[0].stem)}; the lines are 1 to {len(sentences)}")
        return {f: sentences[int(f.stem) - 1] for f in files}
    if len(files) != len(sentences):
        count = f"{len(files)} audio files without .txt for {len(sentences)} sentences"
        raise ValueError(f"{files[0].parent}: {count}; name each file after its line, or add NAME.txt")
    return dict(zip(files, sentences, strict=True))
