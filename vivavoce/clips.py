"""Where the clips that are evaluated come from, and where they are kept: sentences, sounds, shards of recordings.

An `Item` is a clip that is made or read when it is its turn. `Kept` is a folder with clips and what was found of them.
Knows nothing about models or how a clip is judged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import tarfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from vivavoce import audio, markup
from vivavoce.audio import Samples
from vivavoce.evaluation import OTHERS, Score
from vivavoce.segments import language
from vivavoce.voices import Voice

MODEL_FILES = (".json", ".safetensors", ".txt", ".yaml", ".bin", ".pt", ".model")
SAMPLE_SECONDS = 5.0  # of a speaker's recording are what `imitations` gives

Wave = tuple[Samples, int]  # samples [S], Hz


@dataclass(frozen=True)
class Said:
    """What is said in a clip."""

    written: str  # as it was given
    text: str  # what is to be heard
    languages: tuple[str, ...]  # of the text, that of most letters first


@dataclass(frozen=True, eq=False)
class Item:
    """A clip to come."""

    key: str
    voice: str
    said: Said
    source: str  # fingerprint of all that the sound depends on
    make: Callable[[], Wave]  # raises SynthesisError where the model makes no speech
    made: bool = False  # whether `make` computes a sound that is worth keeping, or only reads one


def fingerprint(*parts: Any) -> str:
    """Of values that JSON can write: the same values have the same one."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(folder: Path) -> str:
    """Of the files of a model in a folder; a folder without any, and none at all, have one too."""
    files = sorted(f for f in folder.glob("*") if f.suffix in MODEL_FILES)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name} {file.stat().st_size} ".encode())
        with open(file, "rb") as data:
            while block := data.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def safe(name: str) -> str:
    """A name as it can be that of a file."""
    return re.sub(r"[^\w.=+-]", "-", name).lstrip(".") or "-"


# --- text ------------------------------------------------------------------------------------------------------------


def read_said(written: str, lang: str) -> Said:
    """A text with the tags of `markup`, in `lang` where they do not say. Raises ValueError for wrong ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come when it is spoken
        segments = markup.read(written, lang=lang)
    letters: Counter[str] = Counter()
    text = ""
    for segment in segments:
        if count := sum(map(str.isalpha, segment.text)):
            letters[segment.lang or lang] += count
        text += segment.text + " " * (segment.pause > 0)
    return Said(written, " ".join(text.split()), tuple(code for code, _ in letters.most_common()) or (lang,))


def read_sentences(path: Path) -> list[str]:
    """The lines of a UTF-8 text file that are not blank. Raises ValueError where there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    sentences = [line for line in lines if line]
    if not sentences:
        raise ValueError(f"{path}: no sentences in it; one a line is expected")
    return sentences


def read_text(path: Path) -> str:
    """A UTF-8 text file, without the space around it. Raises ValueError where it is not such a file."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None


# --- speech that is there --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """A sound file not yet decoded, with what is said in it and by whom."""

    key: str
    voice: str
    said: Said
    data: bytes | Path

    def wave(self) -> Wave:
        source = io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data
        try:
            return audio.read(source, audio.SAMPLE_RATE), audio.SAMPLE_RATE
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from None

    def item(self) -> Item:
        """Raises OSError where the file has gone."""
        data = self.data if isinstance(self.data, bytes) else self.data.read_bytes()
        source = fingerprint(hashlib.sha256(data).hexdigest(), self.said.languages)
        return Item(self.key, self.voice, self.said, source, self.wave)


def read_shard(
    shard: Path, known: Sequence[str] | None = None, limit: int | None = None, lang: str = "en"
) -> list[Recording]:
    """The samples of a WebDataset shard: KEY.ogg or another sound, KEY.json with `text`, `speaker` and `lang`.

    lang: of those that do not say. Text in shards has no tags. Speakers that are not in `known` are gathered under
    `OTHERS`; None: all keep their names.
    """
    members: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(shard) as tar:
            for info in tar:
                key, _, extension = info.name.rpartition(".")
                if (file := tar.extractfile(info)) is not None:
                    members.setdefault(key, {})[extension.lower()] = file.read()
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{shard}: cannot be read as a tar file ({error})") from None
    found: list[Recording] = []
    for key, parts in members.items():
        sound = next((parts[e] for e in parts if e in audio.FORMATS), None)
        try:
            about = json.loads(parts["json"])
            text, speaker = str(about["text"]), str(about.get("speaker", OTHERS))
            spoken = str(about.get("lang") or lang)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError(f"{shard}: {key} has no {key}.json with `text`") from None
        if sound is None:
            raise ValueError(f"{shard}: {key} has no sound; known are {', '.join(audio.FORMATS)}")
        try:
            said = Said(text, text, (language(spoken),))
        except ValueError as error:
            raise ValueError(f"{shard}: {key}: {error}") from None
        found.append(Recording(key, speaker if known is None or speaker in known else OTHERS, said, sound))
    if not found:
        raise ValueError(f"{shard}: no recordings in it")
    return found[:limit]


def imitations(shard: Path) -> tuple[list[Voice], list[Voice]]:
    """Voices to imitate, and what each should be like: (without transcript, SAMPLE_SECONDS long; another recording).

    The first is the start of the speaker's first recording of that length, or of the longest where none is as long;
    the second is the longest of the speaker's others, with its transcript. Silence is cut off the ends of all.
    A speaker of one recording only is left out, with a UserWarning. Raises ValueError where none has two.
    """
    by_speaker: dict[str, list[Recording]] = {}
    for recording in read_shard(shard):
        by_speaker.setdefault(recording.voice, []).append(recording)
    single = [name for name, found in by_speaker.items() if len(found) < 2]
    if len(single) == len(by_speaker):
        raise ValueError(f"--speakers {shard}: no speaker has two recordings, one to imitate and one to compare with")
    if single:
        warnings.warn(f"{shard}: left out, for they have one recording only: {', '.join(single)}", stacklevel=2)
    samples, others = [], []
    for name in (name for name in by_speaker if name not in single):
        waves = [(r, audio.trim_silence(*r.wave())) for r in by_speaker[name]]
        length = round(SAMPLE_SECONDS * audio.SAMPLE_RATE)
        sample = next((w for w in waves if len(w[1]) >= length), max(waves, key=lambda w: len(w[1])))
        other = max((w for w in waves if w is not sample), key=lambda w: len(w[1]))
        try:
            file = io.BytesIO(audio.encode(sample[1][:length], audio.SAMPLE_RATE, "wav"))
            samples.append(dataclasses.replace(Voice.from_file(file), name=name))
            others.append(Voice(name, other[1], other[0].said.text))
        except ValueError as error:
            raise ValueError(f"--speakers {shard}: speaker {name}: {error}") from None
    return samples, others


def sounds(path: Path, lists: Sequence[Sequence[str]], lang: str = "en") -> list[Recording]:
    """The sounds in a folder and its subfolders. Each file's folder is its voice; what NAME.wav says is in NAME.txt.

    Without that file the text is a line of the one list of sentences: line NAME (from 1) where the names of all such
    sounds of the voice are whole numbers, else the line in the order of their names, of which there must be as many.
    lang: of texts whose tags do not say. Raises ValueError, naming the file, where that gives no text, or a wrong tag.
    """
    files = [f for f in (*path.glob("*"), *path.glob("*/*")) if f.suffix[1:].lower() in audio.FORMATS]
    if not files:
        formats = ", ".join(audio.FORMATS)
        raise ValueError(f"{path}: neither a model nor sounds in it or one folder below; known are {formats}")
    texts = {f: read_text(f.with_suffix(".txt")) for f in files if f.with_suffix(".txt").is_file()}
    untold = sorted(f for f in files if f not in texts)
    if untold and len(lists) != 1:
        wanted = "or --sentences FILE" if not lists else "or one list of --sentences, not several"
        raise ValueError(f"{untold[0]}: {untold[0].stem}.txt is missing beside it, {wanted}, to say what is spoken")
    for folder in dict.fromkeys(f.parent for f in untold):
        texts |= _numbered([f for f in untold if f.parent == folder], lists[0])
    # voices in turn, so that a run that breaks off has scored all alike
    in_order = sorted(files, key=lambda f: (f.stem, f.parent.name))
    found = []
    for f in in_order:
        try:
            found.append(Recording(f.stem, f.parent.resolve().name, read_said(texts[f], lang), f))
        except ValueError as error:
            raise ValueError(f"{f}: its text: {error}") from None
    return found


def _numbered(files: Sequence[Path], sentences: Sequence[str]) -> dict[Path, str]:
    if all(f.stem.isdecimal() for f in files):
        wrong = [f for f in files if not 1 <= int(f.stem) <= len(sentences)]
        if wrong:
            raise ValueError(f"{wrong[0]}: named as line {int(wrong[0].stem)}; the lines are 1 to {len(sentences)}")
        return {f: sentences[int(f.stem) - 1] for f in files}
    if len(files) != len(sentences):
        count = f"{len(files)} sounds without .txt for {len(sentences)} sentences"
        raise ValueError(f"{files[0].parent}: {count}; name each sound after its line, or add NAME.txt")
    return dict(zip(files, sentences, strict=True))


# --- what was done before --------------------------------------------------------------------------------------------


class Kept:
    """A folder of clips: VOICE/KEY.wav, KEY.txt and KEY.json, which says what the sound was made of and its score.

    What was made of the same is not made again; what was also judged by the same judge is not judged again.
    folder None: nothing is kept.
    """

    def __init__(self, folder: Path | None, judge: str) -> None:
        self.folder = folder
        self.judge = judge  # fingerprint

    def _file(self, item: Item, extension: str) -> Path:
        assert self.folder is not None
        return self.folder / safe(item.voice) / f"{safe(item.key)}.{extension}"

    def _about(self, item: Item) -> dict[str, Any]:
        if self.folder is None:
            return {}
        try:
            about = json.loads(self._file(item, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or no file of ours: it is made anew
            return {}
        return about if isinstance(about, dict) and about.get("source") == item.source else {}

    def score(self, item: Item) -> Score | None:
        """What the same judge found of the same sound, saying the same text."""
        about = self._about(item)
        if about.get("judge") != self.judge:
            return None
        try:
            score = Score(**about["score"])
        except (KeyError, TypeError):
            return None
        return score if (score.key, score.voice, score.text) == (item.key, item.voice, item.said.text) else None

    def wave(self, item: Item) -> Wave | None:
        """The sound, where it was made of the same."""
        if not item.made or not self._about(item):
            return None
        try:
            file = self._file(item, "wav")
            rate = int(soundfile.info(file).samplerate)
            return audio.read(file, rate), rate
        except (ValueError, RuntimeError):
            return None

    def save_wave(self, item: Item, wave: Wave) -> None:
        """Raises OSError where the system refuses to write."""
        if self.folder is None or not item.made:
            return
        self._clear(item)
        self._file(item, "wav").parent.mkdir(parents=True, exist_ok=True)
        audio.write(self._file(item, "wav"), *wave)
        audio.write_whole(self._file(item, "txt"), f"{item.said.written}\n".encode())
        self._write(item, {"source": item.source})

    def save_score(self, item: Item, score: Score) -> None:
        """Raises OSError where the system refuses to write."""
        if self.folder is None:
            return
        if score.failure is not None:
            self._clear(item)
        self._write(item, {"source": item.source, "judge": self.judge, "score": dataclasses.asdict(score)})

    def _clear(self, item: Item) -> None:
        """Remove what an earlier run left, first the file that vouches for the others."""
        for extension in ("json", "wav", "txt"):
            self._file(item, extension).unlink(missing_ok=True)

    def _write(self, item: Item, about: dict[str, Any]) -> None:
        file = self._file(item, "json")
        file.parent.mkdir(parents=True, exist_ok=True)
        audio.write_whole(file, (json.dumps(about, ensure_ascii=False) + "\n").encode())
