"""Making the corpus: what is read, by whom, and what a shard tells beside the sound."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from vivavoce.text.letter_names import plain

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = ROOT / "benchmarks" / "sentences"


class Recipe:
    """The modules of recipes/corpus, which need no teacher to be imported."""

    def __init__(self) -> None:
        for name in ("make", "teacher", "teacher_hibari", "judged", "lists", "words", "human", "prosody", "shifted"):
            setattr(self, name, importlib.import_module(name))

    def __getattr__(self, name: str) -> ModuleType:
        raise AttributeError(name)


@pytest.fixture(scope="module")
def recipe() -> Iterator[Recipe]:
    folder = str(ROOT / "recipes" / "corpus")
    sys.path.insert(0, folder)
    try:
        yield Recipe()
    finally:
        sys.path.remove(folder)


def lines_of(recipe: Recipe, name: str) -> list[str]:
    lines = recipe.make.read_sentences(recipe.make.SENTENCES[name])
    return [line.split("\t")[0] for line in lines[: recipe.make.LISTS[name].lines]]


# ---- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The pleasure lasted but a moment.",
        "the PLEASURE lasted, but a moment!",
        "And the pleasure lasted but a moment.",
        "[en]The pleasure lasted but[fr] a moment.",
        "The sorrow lasted but a moment.",
    ],
)
def test_a_sentence_that_models_are_judged_by_is_recognised_when_it_is_changed_a_little(
    recipe: Recipe, text: str
) -> None:
    judged = recipe.judged.Judged(["The pleasure lasted but a moment.", "Yes."])
    assert judged.like(text) == "The pleasure lasted but a moment."


@pytest.mark.parametrize("text", ["A moment of pleasure.", "Moment a but lasted pleasure the.", "Yes, please.", "…"])
def test_another_sentence_may_be_trained_on(recipe: Recipe, text: str) -> None:
    assert recipe.judged.Judged(["The pleasure lasted but a moment.", "Yes."]).like(text) is None


@pytest.mark.parametrize("name", ["es", "fr", "it", "pt", "short", "mixed"])
def test_no_line_of_a_list_resembles_one_that_models_are_judged_by(recipe: Recipe, name: str) -> None:
    judged = recipe.judged.Judged.load()
    assert [line for line in lines_of(recipe, name) if judged.like(line)] == []


@pytest.mark.slow
def test_only_the_first_list_has_lines_that_are_left_out(recipe: Recipe) -> None:
    counts = recipe.lists.check(recipe.judged.Judged.load())
    assert {name for name, count in counts.items() if count} == {"en"}
    assert f"have {counts['en']:,} such lines" in (ROOT / "recipes/corpus/README.md").read_text(encoding="utf-8")


def test_the_document_gives_each_list_its_lines(recipe: Recipe) -> None:
    table = (ROOT / "recipes" / "corpus" / "README.md").read_text(encoding="utf-8")
    for name, sentences in recipe.make.LISTS.items():
        assert f"| {name} | {sentences.file} | {sentences.lines:,} |" in table
        path = recipe.make.SENTENCES[name]
        lines = recipe.make.read_sentences(path)
        assert len(lines) - sentences.lines == (60 if name == "en" else 0)
        assert all(line.count("\t") == 1 for line in lines)
        if name not in ("short", "letters"):  # where each is read by all five voices
            assert len({line.split("\t")[0] for line in lines}) == len(lines)


@pytest.mark.parametrize("name", ["french", "italian", "portuguese"])
def test_a_list_to_judge_by_has_forty_plain_sentences(name: str) -> None:
    lines = (SENTENCES / f"{name}-40.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 40
    assert all(line[-1] in ".?!" and not re.search(r"[\d\[\]]", line) for line in lines)


@pytest.mark.parametrize("name", ["short", "letters"])
def test_every_voice_reads_every_short_utterance(recipe: Recipe, name: str) -> None:
    readers: dict[str, list[str]] = {}
    for number, line in enumerate(lines_of(recipe, name)):
        assert len(line.split()) <= 4
        readers.setdefault(line, []).append(recipe.make.speaker(number, name)[0])
    assert all(sorted(names) == sorted(recipe.make.VOICES) for names in readers.values())


def test_the_list_of_letters_has_each_as_the_model_gets_it(recipe: Recipe) -> None:
    assert [f"{text}\twritten" for text in lines_of(recipe, "letters")] == recipe.lists.letters()
    said = set(lines_of(recipe, "letters"))
    for letter in "BCDEFGHJKLMNOPQRSTUVWXYZ":
        assert plain(letter)[0] in said and plain(f"{letter}.")[0] in said


def test_a_mixed_line_has_two_languages_and_is_read_by_a_speaker_of_the_other_one(recipe: Recipe) -> None:
    make = recipe.make
    languages = Counter()
    for number, line in enumerate(lines_of(recipe, "mixed")):
        parts = recipe.teacher.spans(line, "en")
        (other,) = {lang for lang, _ in parts} - {"en"}
        assert {lang for lang, _ in parts} == {"en", other}
        wish = make.wished(line, number, "mixed")
        assert wish.recipe == make.recipe_of(wish.speaker, other) and wish.lang == parts[0][0]
        languages[other] += 1
    assert set(languages) == {"es", "fr", "it", "pt"} and min(languages.values()) > 40


def test_frequent_words_are_heard_three_times(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    others = ["violet", "window", "yellow", "umbra", "tundra", "sapling"]
    words = {"zither": "zither", "quokka": "quokka", "paul": "Paul", "murder": "murder"} | {w: w for w in others}
    monkeypatch.setattr(recipe.words, "most_frequent", lambda dictionary: words)
    monkeypatch.setattr(recipe.words, "heard", lambda names, judged: Counter({"zither": 1}))
    more = tmp_path / "more.tsv"
    more.write_text("Paul has a zither.\tbook\nNothing is in this one.\tbook\n")
    judged = recipe.judged.Judged(["Nothing like this."])
    made = recipe.words.frequent_sentences(tmp_path, [more], judged)
    assert "Paul has a zither.\tbook" in made and not any("Nothing is" in line for line in made)
    counts = Counter(word for line in made for word in recipe.judged.words(line.split("\t")[0]))
    assert counts["zither"] + 1 >= 3 and all(counts[word] >= 3 for word in ("quokka", "paul", "murder"))
    alone = [line for line in made if "murder" in line]
    assert not any("quokka" in line or "Paul" in line for line in alone)  # no chance neighbours for such a word
    assert "Paul" in " ".join(made) and "paul" not in " ".join(made)


@pytest.mark.slow
def test_the_lists_have_the_most_frequent_words_three_times(recipe: Recipe, tmp_path: Path) -> None:
    """Of the dictionary that words.py reads, which is not in the repository, the words that both lists know."""
    heard = recipe.lists.heard(recipe.make.LISTS, recipe.judged.Judged.load())
    assert sum(count >= 3 for count in heard.values()) > 40_000


def test_a_dictionary_of_another_kind_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    (tmp_path / "words.txt").write_text("the 12\nof often\n")
    with pytest.raises(ValueError, match=r"line 2 .*'of often'"):
        recipe.words.most_frequent(tmp_path / "words.txt")


def test_a_built_list_has_no_repetitions_and_begins_with_what_is_new(recipe: Recipe, tmp_path: Path) -> None:
    first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
    first.write_text("ab ab ab.\tx\nQuick wizards jump.\tx\nquick wizards jump!\tx\n")
    second.write_text("Quick wizards jump.\ty\nA later one.\ty\n")
    made = recipe.lists.build([first, second], recipe.judged.Judged(["Nothing like this."]))
    assert [line.split("\t")[0] for line in made] == ["Quick wizards jump.", "ab ab ab.", "A later one."]
    second.write_text("No source here.\n")
    with pytest.raises(ValueError, match="line 1 must be a sentence, a tab and its source"):
        recipe.lists.build([second], recipe.judged.Judged([]))


# ---- speakers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["es", "fr", "it", "pt"])
@pytest.mark.parametrize("name", ["celeste", "orion", "blend-007", "blend-008"])
def test_a_speaker_of_another_language_is_wholly_given_out(recipe: Recipe, lang: str, name: str) -> None:
    mixed = recipe.make.recipe_of(name, lang)
    for half in ("timbre", "prosody"):
        assert sum(w for voice, w in mixed.items() if voice.partition(":")[2] in ("", half)) == pytest.approx(
            1, abs=2e-3
        )
    native = recipe.make.NATIVE[lang]
    other = native.woman if name in ("celeste", "blend-008") else native.man
    assert any(voice.startswith(other) for voice in mixed)


def test_a_french_man_keeps_nearly_all_of_his_own_prosody(recipe: Recipe) -> None:
    """Kokoro has no Frenchman: a woman's prosody would raise his pitch."""
    mixed = recipe.make.recipe_of("nash", "fr")
    assert mixed["am_michael:prosody"] == pytest.approx(0.9) and mixed["ff_siwis:timbre"] == pytest.approx(0.5)


def test_a_voice_of_kokoro_reads_alone(recipe: Recipe) -> None:
    assert recipe.make.recipe_of("af_nicole") == {"af_nicole": 1.0}
    with pytest.raises(ValueError, match=r"voice is 'af_nobody'; it must be one of celeste, .*, one of Kokoro's"):
        recipe.make.recipe_of("af_nobody")


# ---- what the teachers say of their readings ------------------------------------------------------------------------


def test_text_in_two_languages_is_split_where_it_changes(recipe: Recipe) -> None:
    assert recipe.teacher.spans("She said [fr]bonjour[en], twice.", "en") == [
        ("en", "She said "), ("fr", "bonjour,"), ("en", " twice."),
    ]  # fmt: skip
    assert recipe.teacher.spans("[pt]Bom dia.", "en") == [("pt", "Bom dia.")]
    with pytest.raises(ValueError, match="lang is 'xx'; it must be one of en, es, fr, it, pt"):
        recipe.teacher.spans("[xx]Hello.", "en")


def test_pitch_and_energy_go_with_the_trimmed_sound(recipe: Recipe) -> None:
    pitch = np.arange(100, dtype=np.float32)[None]
    curves = recipe.teacher.prosody(pitch, -pitch, 10 * 300, 40 * 300)
    assert curves.shape == (2, 40) and curves.dtype == np.float16
    np.testing.assert_array_equal(curves[0], np.arange(10, 50))
    np.testing.assert_array_equal(curves[1], -np.arange(10.0, 50))
    assert not recipe.teacher.prosody(pitch, pitch, 0, 9 * 300)[0].any()  # below 10 Hz nothing vibrates


def test_words_get_the_times_of_their_sounds(recipe: Recipe) -> None:
    phonemes = "ɪnðə hˈWs."
    edges = [i / 10 for i in range(len(phonemes) + 1)]
    placed = recipe.teacher.word_places(["ɪn", "ðə", "hWs"], phonemes)
    times = recipe.teacher.word_times(["in", "the", "house."], placed, edges)
    assert times == [("in", 0.0, 0.2), ("the", 0.2, 0.4), ("house.", 0.5, 0.9)]


def test_hibari_times_its_phones_and_words() -> None:
    pytest.importorskip("hibari")
    pytest.importorskip("onnx")
    folder = str(ROOT / "recipes" / "corpus")
    sys.path.insert(0, folder)
    try:
        teacher = importlib.import_module("teacher_hibari").Hibari()
    finally:
        sys.path.remove(folder)
    reading = teacher.read("Hello there, well-known world.", {"af_heart": 1.0})
    seconds = len(reading.samples) / 24_000
    assert [word for word, _, _ in reading.words] == ["Hello", "there,", "well-known", "world."]
    assert "".join(phone for phone, _, _ in reading.phones) == reading.phonemes
    ends = [0.0] + [end for _, _, end in reading.phones]
    assert all(start <= end for _, start, end in reading.phones) and ends == sorted(ends) and ends[-1] <= seconds
    assert abs(reading.prosody.shape[1] - seconds * 80) <= 1
    voiced = reading.prosody[0][reading.prosody[0] > 0]
    assert 120 < np.median(voiced) < 300
    again = teacher.read("Hello there, well-known world.", {"af_heart": 1.0})
    np.testing.assert_array_equal(reading.samples, again.samples)
    with pytest.raises(ValueError, match="as af_heart only"):
        teacher.read("Hola.", {"af_heart": 1.0}, lang="es")


def test_hibari_follows_a_prosody(recipe: Recipe) -> None:
    pytest.importorskip("hibari")
    pytest.importorskip("onnx")
    Labels, Controls = recipe.prosody.Labels, recipe.prosody.Controls
    teacher = recipe.teacher_hibari.Hibari()

    def read(controls: Any = Controls(), **labels: Any) -> Any:
        return teacher.read(
            "The keeper walked home along the shore.", {"af_heart": 1.0}, labels=Labels(controls, **labels)
        )

    def semitones(reading: Any) -> np.ndarray:
        return 12 * np.log2(reading.prosody[0][reading.prosody[0] > 40].astype(float))

    def level(reading: Any) -> float:
        return 10 * np.log10(np.mean(reading.samples**2))

    plain, own = read(), teacher.read("The keeper walked home along the shore.", {"af_heart": 1.0})
    assert len(plain.samples) == len(own.samples) and abs(level(plain) - level(own)) < 0.5
    assert semitones(read(Controls(pitch=3))).mean() - semitones(plain).mean() == pytest.approx(3, abs=0.2)
    assert semitones(read(Controls(range=1.5))).std() / semitones(plain).std() == pytest.approx(1.5, abs=0.15)
    assert level(read(Controls(energy=-6))) - level(plain) == pytest.approx(-6, abs=1)
    assert len(read(Controls(pace=0.8)).samples) / len(plain.samples) == pytest.approx(1.25, abs=0.05)
    stressed = read(stress=(3,))
    longer = [(e - s) - (b - a) for (_, s, e), (_, a, b) in zip(stressed.words, plain.words, strict=True)]
    assert int(np.argmax(longer)) == 3 and longer[3] > 0.03
    half = read(Controls(), phrase=(0, 3, Controls(pitch=3)))
    start = int(plain.words[3][1] * 80)
    rise = [semitones(half)[: start // 2].mean() - semitones(plain)[: start // 2].mean()]
    rise.append(semitones(half)[-20:].mean() - semitones(plain)[-20:].mean())
    assert rise[0] > 2.5 and abs(rise[1]) < 0.5


def test_a_line_always_gets_the_same_prosody(recipe: Recipe) -> None:
    draw = recipe.prosody.draw
    drawn = [draw("en", line, 8) for line in range(300)]
    assert drawn == [draw("en", line, 8) for line in range(300)] and drawn != [draw("es", n, 8) for n in range(300)]
    pitches = [labels.whole.pitch for labels in drawn]
    assert -3 <= min(pitches) < -2.8 and 2.8 < max(pitches) <= 3 and 80 < pitches.count(0.0) < 160
    assert all(0.6 <= labels.whole.range <= 1.5 and 0.8 <= labels.whole.pace <= 1.25 for labels in drawn)
    assert 100 < sum(bool(labels.stress) for labels in drawn) < 200
    assert 50 < sum(labels.phrase is not None for labels in drawn) < 130


def test_a_teacher_whose_sound_ignores_its_energy_gets_a_gain(recipe: Recipe) -> None:
    followed, lengths = recipe.prosody.followed, recipe.prosody.lengths
    owners = [(-1, False), (0, True), (1, True), (-1, False)]
    labels = recipe.prosody.Labels(recipe.prosody.Controls(pitch=12.0, energy=-6.0, pace=0.5))
    durations = lengths(np.array([2, 3, 4, 2], np.float32), owners, labels)
    assert durations.tolist() == [4, 6, 8, 4]
    pitch, energy = np.full(44, 100, np.float32), np.zeros(44, np.float32)
    pitch[:8] = 0  # unvoiced
    for unit, share in ((3.0, 0.5), (None, 1.0)):
        higher, effort, gain = followed(pitch, energy, durations, owners, labels, unit)
        assert higher[:8].tolist() == [0] * 8 and higher[8:] == pytest.approx(200, rel=1e-4)
        assert 20 * np.log10(gain) == pytest.approx(-6 * share, abs=1e-3)
        assert effort == pytest.approx(-1 if unit else 0)


def test_sound_that_is_made_quieter_has_less_energy(recipe: Recipe) -> None:
    labels = recipe.prosody.Labels(recipe.prosody.Controls(energy=6.0), (0, 2, recipe.prosody.Controls()))
    assert labels.quieter(0.5).meta()["prosody"]["energy"] == pytest.approx(-0.02, abs=0.01)
    assert labels.quieter(0.5).meta()["prosody_spans"][0][2]["energy"] == pytest.approx(-6.02, abs=0.01)
    assert labels.quieter(1.0) is labels


class FakeTeacher:
    """Reads with a tone, and tells what a teacher does."""

    def __init__(self, folder: Path | None = None):
        pass

    def read(
        self, text: str, recipe: dict[str, float], speed: float = 1.0, lang: str = "en", labels: Any = None
    ) -> Any:
        reading = sys.modules["teacher"].Reading
        samples = np.sin(np.arange(24_000, dtype=np.float32) / 10)
        phones = [("f", 0.1, 0.5), ("ə", 0.5, 0.9)]
        return reading(samples, [("x", 0.1, 0.9)], "fə", lang, phones, np.ones((2, 80), np.float16), labels)


@pytest.fixture
def taught(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    lines = ["A line of no list.\ttest", "Chapter one.\ttest", "[fr]Bonjour[en], all of you.\ttest"]
    (tmp_path / "lines.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setattr(recipe.make, "SENTENCES", dict.fromkeys(recipe.make.LISTS, tmp_path / "lines.tsv.gz"))
    monkeypatch.setattr(recipe.make, "Teacher", FakeTeacher)
    monkeypatch.setattr(recipe.make, "Hibari", FakeTeacher)
    monkeypatch.setattr(recipe.make, "fetch", lambda folder: None)
    return tmp_path / "out"


def test_a_shard_has_phones_and_prosody_and_nothing_that_models_are_judged_by(
    recipe: Recipe, taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.make.make_shards(taught, 0, 3, "mixed", 1, taught)
    with tarfile.open(taught / "mixed-000000-000002.tar") as archive:
        names = archive.getnames()
        meta = json.load(archive.extractfile("mixed-000002.json"))  # type: ignore[arg-type]
        curves = np.load(io.BytesIO(archive.extractfile("mixed-000002.npy").read()))  # type: ignore[union-attr]
    assert names == [f"mixed-00000{i}.{kind}" for i in (0, 2) for kind in ("ogg", "json", "npy")]
    assert "1 left out: models are judged by the like of it" in capsys.readouterr().err
    assert meta["phones"] == [["f", 0.1, 0.5], ["ə", 0.5, 0.9]] and curves.shape == (2, 80)
    assert meta["text"] == "Bonjour, all of you."
    assert meta["tagged"] == "[fr]Bonjour[en], all of you." and meta["lang"] == "fr"


def test_the_trainer_reads_such_a_shard(recipe: Recipe, taught: Path) -> None:
    from vivavoce.data.samples import Report, audio_of, metadata_of, raw_samples

    recipe.make.make_shards(taught, 0, 1, "en", 1, taught, "flac")
    report = Report()
    (sample,) = raw_samples([str(taught / "en-000000-000000.tar")], report)
    found = metadata_of(sample.files)
    assert found.phones == (("f", 0.1, 0.5), ("ə", 0.5, 0.9)) and found.words == (("x", 0.1, 0.9),)
    sound, rate = soundfile.read(io.BytesIO(audio_of(sample.files)))
    assert rate == 24_000 and len(sound) == 24_000


def test_a_shard_with_prosody_says_so_and_the_trainer_reads_it(recipe: Recipe, taught: Path) -> None:
    from vivavoce.data.samples import Report, metadata_of, raw_samples

    recipe.make.make_shards(taught, 0, 1, "en", 1, None, "flac", labelled=True)
    (sample,) = raw_samples([str(taught / "prosody-hibari-en-000000-000000.tar")], Report())
    meta, labels = json.loads(sample.files["json"]), recipe.prosody.draw("en", 0, 5)
    assert meta["prosody"].keys() == {"pitch", "range", "energy", "pace"} and meta["stress"] == list(labels.stress)
    words = metadata_of(sample.files).prosody
    assert len(words) == len(meta["text"].split())
    for number, word in enumerate(words):
        wanted = labels.of_word(number)
        assert word == (wanted.pitch, wanted.range, wanted.energy, wanted.pace, float(number in labels.stress))


def test_hibari_reads_all_lines_as_celeste_and_english_alone(recipe: Recipe, taught: Path) -> None:
    recipe.make.make_shards(taught, 0, 1, "words", 1, None, "flac")
    with tarfile.open(taught / "hibari-words-000000-000000.tar") as archive:
        assert archive.getnames()[0] == "hibari-words-000000.flac"
        assert json.load(archive.extractfile("hibari-words-000000.json"))["speaker"] == "celeste"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hibari reads English only; the list fr is fr"):
        recipe.make.make_shards(taught, 0, 1, "fr", 1, None)


# ---- real people ----------------------------------------------------------------------------------------------------


class FakeWhisper:
    """Hears the file's name, and is unsure of what "mumble" has in its name."""

    def __init__(self, model: str):
        pass

    def transcribe(self, path: Path, lang: str) -> Any:
        sure = 0.4 if "mumble" in path.stem else 0.95
        return sys.modules["human"].Transcript(
            "So it is.", [("So", 0.1, 0.3), ("it", 0.3, 0.4), ("is.", 0.4, 0.8)], [sure] * 3
        )


@pytest.fixture
def readers(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "readers"
    for name in ("9-1-0", "9-1-1-mumble", "12-1-0", "100-7-3"):
        path = folder / name.split("-")[0] / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.sin(np.arange(16_000) / 9), 16_000)
    monkeypatch.setattr(recipe.human, "Whisper", FakeWhisper)
    return folder


def test_recordings_become_shards_and_the_last_speakers_one_of_their_own(
    recipe: Recipe, readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, held = tmp_path / "out.tar", tmp_path / "held.tar"
    monkeypatch.setattr(sys, "argv", ["human.py", str(readers), str(out), "--held-out", "1", str(held)])
    assert recipe.human.main() == 0
    assert "1 left out: the words' mean probability below 0.8" in capsys.readouterr().err
    with tarfile.open(out) as archive:
        assert archive.getnames() == [
            "human-9-1-0.flac", "human-9-1-0.json", "human-12-1-0.flac", "human-12-1-0.json",
        ]  # fmt: skip
        meta = json.load(archive.extractfile("human-12-1-0.json"))  # type: ignore[arg-type]
        assert archive.extractfile("human-12-1-0.flac").read() == (readers / "12" / "12-1-0.flac").read_bytes()  # type: ignore[union-attr]
    assert meta["speaker"] == "human-12" and meta["bandwidth"] == 8000 and meta["words"][0] == ["So", 0.1, 0.3]
    with tarfile.open(held) as archive:
        assert archive.getnames()[0] == "human-100-7-3.flac"  # by number: 9, 12, 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--held-out", "3", "held.tar"], "--held-out 3: it must be a number from 1 to 2"),
        (["--held-out", "all", "held.tar"], "--held-out all: it must be a number"),
    ],
)
def test_a_wrong_number_of_speakers_is_named(
    recipe: Recipe, readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["human.py", str(readers), str(tmp_path / "out.tar"), *arguments])
    assert recipe.human.main() == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.tar").exists()


def test_a_recording_without_a_speaker_in_its_name_is_named(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "interview.wav").touch()
    with pytest.raises(ValueError, match=r"interview\.wav: its name must begin with the speaker"):
        recipe.human.recordings(tmp_path)
    assert list(recipe.human.recordings(tmp_path, "anna")) == ["anna"]
    with pytest.raises(ValueError, match=r"no \.flac or \.wav"):
        recipe.human.recordings(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "probabilities", "reason"),
    [
        ("So it is.", [0.9, 0.95, 0.9], None),
        ("So it is.", [0.99, 0.1, 0.99], "the words' mean probability below 0.8"),
        ("So it is so.", [0.99, 0.1, 0.99, 0.99, 0.99, 0.99], "a word's probability below 0.2"),
        ("[Music]", [0.9], "signs or digits"),
        ("In 1831.", [0.9, 0.9], "signs or digits"),
        ("", [], "no words heard"),
    ],
)
def test_an_unsure_transcript_is_left_out(
    recipe: Recipe, text: str, probabilities: list[float], reason: str | None
) -> None:
    heard = recipe.human.Transcript(text, [("w", 0.0, 0.1)] * len(probabilities), probabilities)
    assert recipe.human.doubt(heard) == reason


def test_a_changed_recording_is_as_loud_and_as_high_as_its_label_says(recipe: Recipe) -> None:
    shifted, prosody, rate = recipe.shifted, recipe.prosody, 24_000
    hum = 0.1 * np.sin(2 * np.pi * 150 * np.arange(rate) / rate).astype(np.float32)
    labels = prosody.Labels(prosody.Controls(energy=6.0), phrase=(1, 2, prosody.Controls(energy=-6.0)))
    made = shifted.changed(hum, rate, *shifted.curves(labels, [0.5, 1.0], 1.0))
    for part, factor in ((made[4_800:9_600], 2.0), (made[14_400:19_200], 0.5)):
        assert np.abs(part).max() == pytest.approx(0.1 * factor, rel=0.03)
    assert shifted.labels_of("en-000007", 9) == shifted.labels_of("en-000007", 9)
    assert shifted.labels_of("en-000007", 9).whole.pace == 1.0
    assert shifted.labels_of("en-000007", 9) != shifted.labels_of("en-000007", 9, take=1)

    pytest.importorskip("parselmouth")
    buzz = np.tile(np.exp(-np.arange(160) / 20).astype(np.float32), 150)  # 150 Hz
    labels = prosody.Labels(prosody.Controls(pitch=3.0))
    made = shifted.changed(0.1 * buzz, rate, *shifted.curves(labels, [0.5, 1.0], 1.0))
    middle = made[6_000:18_000]
    high = np.fft.rfftfreq(len(middle), 1 / rate)[np.abs(np.fft.rfft(middle - middle.mean())).argmax()]
    assert min(abs(high / (150 * 2**0.25) - n) for n in (1, 2, 3)) < 0.05


def test_a_shard_that_is_missing_is_named(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["shifted.py", str(tmp_path / "none.tar"), "--out", str(tmp_path / "out")])
    assert recipe.shifted.main() == 2
    assert f"{tmp_path / 'none.tar'}: no such file" in capsys.readouterr().err
