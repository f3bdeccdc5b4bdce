"""Recipes and examples: each JSON is a model that can be built, the documents' commands exist; the corpus' making."""

from __future__ import annotations

import gzip
import io
import json
import re
import shlex
import string
import sys
import tarfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted([*ROOT.glob("recipes/**/recipe.json"), *ROOT.glob("examples/*/*.json")])
EXAMPLES = sorted(ROOT.glob("examples/*/README.md"))
DOCUMENTS = [*EXAMPLES, ROOT / "recipes" / "corpus" / "README.md"]


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """recipes/corpus/make.py, which needs no teacher to be imported."""
    folder = str(ROOT / "recipes" / "corpus")
    sys.path.insert(0, folder)
    try:
        import make  # type: ignore[import-not-found]
    finally:
        sys.path.remove(folder)
    return make


# ---- recipes and examples -------------------------------------------------------------------------------------------


def task_name(path: Path) -> str:
    return path.parent.name if path.name == "recipe.json" else path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_recipe_is_a_model_that_can_be_built(path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from vivavoce.train.tasks.registry import load_task

    task = load_task(task_name(path), path)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in task.build().state_dict().values())  # a codec has buffers only
    assert parameters > 100_000
    train = task.recipe.train
    assert train.warmup_steps + (train.decay_steps or 0) <= train.max_steps


@pytest.mark.parametrize("name", ["emilia", "libritts-r"])
def test_an_examples_two_models_read_the_same_text(name: str) -> None:
    """The duration model's output is for the characters that the other model gets."""
    recipes = [
        json.loads((ROOT / "examples" / name / f"{task}.json").read_text()) for task in ("nanospeech", "duration")
    ]
    assert recipes[0]["characters"] == recipes[1]["characters"]
    assert recipes[0]["model"].get("speaker_dim", 0) == recipes[1]["model"].get("speaker_dim", 0)


def test_emilia_has_the_published_size() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from vivavoce.train.tasks.registry import load_task

    task = load_task("nanospeech", ROOT / "examples" / "emilia" / "nanospeech.json")
    with torch.device("meta"):
        size = sum(p.numel() for p in task.build().parameters()) / 1e6
    assert 80 < size < 84
    assert f"{size:.0f} M" in (ROOT / "examples" / "emilia" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["nanospeech", "duration"])
def test_train_voice_continues_the_bundled_model(task: str) -> None:
    """`--from bundled` can only fill a model of the same shape that reads the same characters."""
    pytest.importorskip("accelerate")
    from vivavoce.train.tasks.registry import load_task
    from vivavoce.train_voice import fit

    base = fit.find_base("bundled")
    made = fit.nanospeech_recipe(base, 3.0) if task == "nanospeech" else fit.duration_recipe(base)
    bundled = json.loads((ROOT / "vivavoce" / "assets" / task / "config.json").read_text())
    recipe = load_task(task, made).recipe
    assert recipe.characters == bundled["characters"]
    assert recipe.model == type(recipe.model).from_dict(bundled["model"], "bundled")
    load_task(task, fit.with_schedule(made, 100))


def commands(document: Path) -> list[str]:
    """The shell commands of a document, one a line."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("document", EXAMPLES, ids=lambda p: p.parent.name)
def test_the_commands_of_an_example_have_options_that_exist(document: Path) -> None:
    import typer

    from vivavoce.cli import main

    group = typer.main.get_command(main.app)
    found = 0
    for command in commands(document):
        words = shlex.split(command)
        words = words[words.index("vivavoce") :] if "vivavoce" in words else []
        if len(words) < 2 or words[1].startswith("-") or words[1] not in group.commands:  # type: ignore[attr-defined]
            continue
        known = {option for p in group.commands[words[1]].params for option in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]
        for word in words[2:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known, command
        found += 1
    assert found >= 3 or not any(document.parent.glob("*.json"))  # only a folder with recipes says how to use them


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "recipes" / "corpus" / "README.md"], ids=lambda p: p.parent.name
)
def test_links_and_named_recipes_of_a_document_exist(document: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    for target in links:
        assert (document.parent / target).exists(), target
    for path in re.findall(r"(?:examples|recipes)/[\w./-]+\.(?:json|py|txt)", text):
        assert (ROOT / path).exists(), path


# ---- the corpus -----------------------------------------------------------------------------------------------------


def test_a_line_has_the_speaker_that_the_first_shards_gave_it(make: ModuleType) -> None:
    with tarfile.open(ROOT / "benchmarks" / "recordings" / "validation.tar") as archive:
        clips = {m.name[3:9]: json.load(archive.extractfile(m)) for m in archive if m.name.endswith(".json")}  # type: ignore[arg-type]
    sentences = make.read_sentences(make.SENTENCES["en"])
    for key, clip in clips.items():
        name, recipe, speed = make.speaker(int(key))
        assert (name, recipe, speed) == (clip["speaker"], clip["recipe"], clip["speed"])
        assert sentences[int(key)] == f"{clip['text']}\t{clip['text_source']}"


def test_speakers_are_shared_out_as_the_document_says(make: ModuleType) -> None:
    for lang in make.LINES:
        names = Counter(make.speaker(line, lang)[0] for line in range(make.LINES[lang]))
        builtin = [names.pop(name) for name in make.VOICES]
        assert sum(builtin) / make.LINES[lang] == pytest.approx(0.6, abs=0.05)
        assert max(builtin) < 1.3 * min(builtin)
        assert 140 < len(names) <= 160
        assert not {f"blend-{number}" for number in make.HELD_OUT} & names.keys()


def test_a_spanish_line_always_has_the_same_speaker(make: ModuleType) -> None:
    """Shards made by different people fit together only while this stays as it is."""
    speakers = [make.speaker(line, "es") for line in range(make.LINES["es"])]
    assert [(name, speed) for name, _, speed in speakers[:6]] == [
        ("celeste", 1.0), ("luna", 1.0), ("nash", 1.0), ("blend-027", 0.95), ("blend-006", 0.96), ("blend-133", 0.98),
    ]  # fmt: skip
    assert make.recipe_of("orion", "es") == {"bm_george": 0.7, "em_alex": 0.3}
    for name, recipe, _ in speakers:
        assert make.recipe_of(name, "es") == recipe
        assert sum(recipe.values()) == pytest.approx(1, abs=1e-3)
        assert len({voice[1] for voice in recipe}) == 1  # women are mixed with women, men with men


def test_spanish_sentences_are_plain_words_and_none_is_in_the_list_to_judge_by(make: ModuleType) -> None:
    lines = [line.split("\t")[0] for line in make.read_sentences(make.SENTENCES["es"])]
    listed = (ROOT / "benchmarks" / "sentences" / "spanish-40.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == make.LINES["es"] and len(listed) == 40
    assert not set(lines) & set(listed)
    assert set("".join(lines + listed).lower()) <= set("abcdefghijklmnopqrstuvwxyzáéíñóúü ,.?!¿¡")
    assert len({word.strip(",.?!¿¡").lower() for line in lines for word in line.split()}) > 2000


def test_the_lines_of_rare_words_have_what_the_first_lines_lack(make: ModuleType) -> None:
    def words_of(lines: list[str]) -> Counter[str]:
        return Counter(re.findall(r"[a-z']+", " ".join(line.split("\t")[0] for line in lines).lower()))

    lines = make.read_sentences(make.SENTENCES["words"])
    first = words_of(make.read_sentences(make.SENTENCES["en"])[:2975])
    rare = [word for word in words_of(lines) if first[word] < 3]
    assert len(lines) == make.LINES["words"] and len(rare) > 8000
    assert set("".join(line.split("\t")[0] for line in lines)) <= set(string.ascii_letters + " ,.?!:")
    for path in (ROOT / "benchmarks" / "sentences").glob("*.txt"):
        assert not {line.split("\t")[0] for line in lines} & set(path.read_text(encoding="utf-8").splitlines())
    assert make.language("words") == "en"
    assert make.speaker(0, "words")[0] == "blend-046" and make.speaker(7, "words")[0] == "nash"


def test_held_out_speakers_are_as_their_recordings_say(make: ModuleType) -> None:
    speakers = Counter()
    with tarfile.open(ROOT / "benchmarks" / "recordings" / "blends.tar") as archive:
        for member in archive:
            if member.name.endswith(".json"):
                clip = json.load(archive.extractfile(member))  # type: ignore[arg-type]
                speakers[clip["speaker"]] += 1
                assert make.recipe_of(clip["speaker"]) == clip["recipe"]
                assert 5 <= clip["duration"] <= 8
    assert speakers == {f"blend-{number}": 3 for number in range(160, 170)}


def test_the_evaluation_list_is_at_the_end_and_out_of_reach(make: ModuleType, tmp_path: Path) -> None:
    sentences = [line.split("\t")[0] for line in make.read_sentences(make.SENTENCES["en"])]
    listed = (ROOT / "benchmarks" / "sentences" / "corpus-60.txt").read_text(encoding="utf-8").splitlines()
    assert sentences[make.LINES["en"] :] == listed
    assert not set(listed) & set(sentences[: make.LINES["en"]])
    with pytest.raises(ValueError, match="12293"):
        make.plan(tmp_path, 12_000, make.LINES["en"] + 1)


def test_a_plan_covers_each_line_once_and_leaves_out_what_is_there(make: ModuleType, tmp_path: Path) -> None:
    shards = make.plan(tmp_path, 150, 650)
    assert [(lines[0], lines[-1]) for lines in shards.values()] == [(150, 199), (200, 399), (400, 599), (600, 649)]
    next(iter(shards)).touch()
    assert list(make.plan(tmp_path, 150, 650)) == list(shards)[1:]
    assert list(make.plan(tmp_path, 200, 400)) == [tmp_path / "en-000200-000399.tar"]
    with pytest.raises(ValueError, match="en-000150-000199"):  # would have lines 150 to 199 twice
        make.plan(tmp_path, 0, 400)
    assert next(iter(make.plan(tmp_path, 0, 400, "es"))) == tmp_path / "es-000000-000199.tar"
    with pytest.raises(ValueError, match="860"):
        make.plan(tmp_path, 0, 861, "es")


def test_an_unknown_voice_is_refused_before_anything_is_fetched(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("One.\n")
    monkeypatch.setattr(
        sys, "argv",
        ["make.py", "wavs", str(tmp_path / "out"), "--sentences", str(tmp_path / "list.txt"), "--voices", "celest"],
    )  # fmt: skip
    monkeypatch.setattr(make, "fetch", lambda folder: pytest.fail("fetched"))
    assert make.main() == 2
    message = capsys.readouterr().err
    assert "'celest'" in message and "celeste" in message
    assert not (tmp_path / "out").exists()


class FakeTeacher:
    """Reads with a tone as long as the text; one word that cannot be read, and one at which the user has had enough."""

    def __init__(self, folder: Path):
        pass

    def read(
        self, text: str, recipe: dict[str, float], speed: float = 1.0, lang: str = "en", labels: object = None
    ) -> object:
        from teacher import Reading  # type: ignore[import-not-found]

        if text.startswith("Stop"):
            raise KeyboardInterrupt
        if text.startswith("Unreadable"):
            raise ValueError("501 phonemes, where the teacher reads 1 to 500")
        samples = np.sin(np.arange(480 * len(text), dtype=np.float32) / 10)
        return Reading(samples, [(text.split()[0], 0.1, 0.2)], "fə", "us")


@pytest.fixture
def taught(make: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A corpus of 450 lines and a teacher that is quick; gives the folder to write to."""
    lines = [f"Sentence number {i}.\ttest" for i in range(450)]
    lines[3] = "Unreadable.\ttest"
    (tmp_path / "lines.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setattr(make, "SENTENCES", dict.fromkeys(("en", "es"), tmp_path / "lines.tsv.gz"))
    monkeypatch.setattr(make, "SHARD", 4)
    monkeypatch.setattr(make, "Teacher", FakeTeacher)
    monkeypatch.setattr(make, "fetch", lambda folder: None)
    return tmp_path / "out"


def test_shards_can_be_read_by_the_trainer(make: ModuleType, taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.make_shards(taught, 0, 10, "en", 1, taught)
    assert sorted(p.name for p in taught.iterdir()) == [
        "en-000000-000003.tar", "en-000004-000007.tar", "en-000008-000009.tar",
    ]  # fmt: skip
    with tarfile.open(taught / "en-000000-000003.tar") as archive:
        assert archive.getnames() == [f"en-00000{i}.{kind}" for i in range(3) for kind in ("ogg", "json")]
        sound = archive.extractfile("en-000001.ogg").read()  # type: ignore[union-attr]
        meta = json.load(archive.extractfile("en-000001.json"))  # type: ignore[arg-type]
    from vivavoce import audio

    assert len(audio.read(io.BytesIO(sound))) / 24_000 == pytest.approx(meta["duration"], abs=0.01)
    assert meta["speaker"] == make.speaker(1)[0] and meta["words"] == [["Sentence", 0.1, 0.2]]
    assert "1 left out: 501 phonemes" in capsys.readouterr().err
    make.make_shards(taught, 0, 4, "es", 1, taught)
    with tarfile.open(taught / "es-000000-000003.tar") as archive:
        meta = json.load(archive.extractfile("es-000001.json"))  # type: ignore[arg-type]
    assert meta["lang"] == "es" and meta["speaker"] == make.speaker(1, "es")[0]


def test_wavs_go_on_where_they_were_stopped(
    make: ModuleType, taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentences = tmp_path / "list.txt"
    sentences.write_text("First.\n\nStop.\n")
    arguments = ["make.py", "wavs", str(taught), "--sentences", str(sentences), "--voices", "luna,blend-160"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert make.main() == 130
    assert "resumes" in capsys.readouterr().err
    assert sorted(str(p.relative_to(taught)) for p in taught.glob("*/*")) == [
        "blend-160/001.txt", "blend-160/001.wav", "luna/001.txt", "luna/001.wav",
    ]  # fmt: skip
    before = (taught / "luna" / "001.wav").stat().st_mtime_ns
    sentences.write_text("First.\nSecond.\n")
    assert make.main() == 0
    assert (taught / "luna" / "001.wav").stat().st_mtime_ns == before
    assert (taught / "blend-160" / "002.txt").read_text() == "Second.\n"
    sentences.write_text("Other.\nSecond.\n")
    assert make.main() == 2
    assert "another sentence" in capsys.readouterr().err


def test_words_that_are_run_together_are_found_again(make: ModuleType) -> None:
    from teacher import aligned, bare

    heard, meant = list(bare("ɪnðə hˈWs.")), [*"ɪn", *"ðə", *"hWs"]
    assert sorted(aligned(heard, meant)) == [(i, i) for i in range(7)]
    # a sound that only the whole sentence has belongs to the sound before it
    assert sorted(aligned(list("faɹə"), list("faə"))) == [(0, 0), (1, 1), (2, 1), (3, 2)]
    assert bare("¿kˈe ˈoɾa ˈes?") == "keoɾaes"


def test_trimming_leaves_a_tenth_of_a_second(make: ModuleType) -> None:
    from teacher import trimmed

    wave = np.zeros(24_000, np.float32)
    wave[10_000:14_000] = 1.5
    cut, front = trimmed(wave)
    assert front == 10_000 - 2_400 and len(cut) == 4_000 + 2 * 2_400
    assert np.abs(cut).max() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="no sound"):
        trimmed(np.zeros(100, np.float32))
