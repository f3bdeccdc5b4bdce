"""From recordings to shards: what is kept, what is dropped and why; interruptions lose nothing.

test_sources.py has the kinds of input.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.recordings import (
    RATE,
    TEXT,
    contents,
    described,
    kept,
    put,
    reasons,
    recordings,
    stop_after,
    stored,
    tar,
    wave,
)

from vivavoce import audio
from vivavoce.audio.ogg import with_serial
from vivavoce.cli import main, speak
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report, decode, raw_samples
from vivavoce.data.tar import ShardWriter, read_shard
from vivavoce.locks import lock_folder
from vivavoce.prepare import run
from vivavoce.prepare.checks import words_in_step
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.text import CharTokenizer, read_vocabulary
from vivavoce.train.config import TrainConfig

# ---- made-up recordings ---------------------------------------------------------------------------------------------


# ---- checks ---------------------------------------------------------------------------------------------------------


def test_every_drop_has_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "in"
    noise = np.random.default_rng(0).standard_normal(RATE * 2)
    bad = {
        "shorter than 0.3 s": (wave(0.05, 1, 1), "No."),
        "longer than 20 s": (wave(21), TEXT * 9),
        "clipped": (np.clip(2 * noise, -1, 1), TEXT),
        "silent": (0.001 * wave(), TEXT),
        "a pause longer than 3 s": (np.concatenate([wave(1, 0, 3.5), wave(1)]), TEXT),
        "more than 30 characters a second": (wave(0.5), TEXT),
        "fewer than 3 characters a second": (wave(5), "Hm no."),
        "letters or digits outside the vocabulary": (wave(), "Say 你好 to all."),
        "no words in the text": (wave(), "… — !"),
        "empty text": (wave(), " \n"),
        "unreadable text": (wave(), b"caf\xe9 is not UTF-8"),
        "no text": (wave(), None),
    }
    for number, (samples, text) in enumerate(bad.values()):
        put(root / f"{number}.wav", samples, text)
    put(root / "unreadable.wav")
    (root / "unreadable.wav").write_bytes(b"RIFF nothing")
    put(root / "good.wav", text="“Quite — (really) – café & 5…”")
    put(root / "twice.wav")
    put(root / "twice.flac")
    report = prepare(str(root), tmp_path / "out", workers=1)
    expected = {reason: [str(number)] for number, reason in enumerate(bad)}
    assert reasons(report) == {
        **expected, "unreadable audio": ["unreadable"], "two recordings of one name": ["twice%2Ewav"]
    }  # fmt: skip
    assert report["dropped"]["utterances"] == len(expected) + 2
    assert report["dropped"]["outside_vocabulary"] == {"你": 1, "好": 1}
    assert set(stored(tmp_path / "out")) == {"good", "twice"}  # changed punctuation and accents drop nothing


@pytest.mark.parametrize(
    ("settings", "survives"),
    [
        ({"max_clipping": 1.0}, True),
        ({}, False),
    ],
)
def test_limits_are_settings(tmp_path: Path, settings: dict[str, float], survives: bool) -> None:
    put(tmp_path / "in/a.wav", np.clip(wave() * 5, -1, 1) * 0.995)
    put(tmp_path / "in/b.wav")
    assert ("a" in kept(tmp_path / "in", tmp_path / "out", **settings)) is survives


def test_the_vocabulary_grows_by_letters_alone(tmp_path: Path) -> None:
    put(tmp_path / "in/a.wav", text="Élan “naïve” łódź…")
    put(tmp_path / "in/b.wav", text="Plain (text) 7.")
    assert len(kept(tmp_path / "in", tmp_path / "plain")) == 2
    report = prepare(str(tmp_path / "in"), tmp_path / "out", PrepareConfig(grow_vocab=True), workers=1)
    bundled = " abcdefghijklmnopqrstuvwxyz'.,;:!?-"
    assert "".join(read_vocabulary(tmp_path / "out/vocab.txt")) == bundled + "éïółź"
    assert report["vocabulary"] == {"characters": len(bundled) + 5, "added": "éïółź"}
    assert stored(tmp_path / "out")["a"]["text"].startswith("Élan")


def test_another_vocabulary(tmp_path: Path, root: Path) -> None:
    CharTokenizer(" .Thecatsonm").save(tmp_path / "vocab.txt")
    recordings(tmp_path / "in", 2, 1)
    put(tmp_path / "in/fits.wav", text=TEXT)
    report = prepare(str(tmp_path / "in"), tmp_path / "out", workers=1, vocab=tmp_path / "vocab.txt")
    assert set(stored(tmp_path / "out")) == {"fits"} and report["dropped"]["outside_vocabulary"]["k"] == 2
    assert (tmp_path / "out/vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()
    config = root / "vivavoce/assets/nanospeech/config.json"
    assert prepare(str(tmp_path / "in"), tmp_path / "b", workers=1, vocab=config)["kept"]["utterances"] == 3
    for wrong in ("missing.txt", "in", "report.json"):
        with pytest.raises(ValueError, match=wrong):
            prepare(str(tmp_path / "in"), tmp_path / "c", workers=1, vocab=tmp_path / wrong)


# ---- word times -----------------------------------------------------------------------------------------------------


def times(*words: str) -> list[tuple[str, float, float]]:
    return [(word, float(n), n + 0.5) for n, word in enumerate(words)]


@pytest.mark.parametrize(
    ("written", "normal", "timed", "expected"),
    [
        ("Mr. Fox ran.", "Mister Fox ran.", ("Mr.", "Fox", "ran."), {"Mister": 0, "Fox": 1, "ran.": 2}),
        ("Oh, Fox ran.", "Oh, Fox ran.", ("oh", "FOX", "ran"), {"Oh,": 0, "Fox": 1, "ran.": 2}),
        ("It cost $3 then.", "It cost three dollars then.", ("It", "cost", "$3", "then."),
         {"It": 0, "cost": 1, "then.": 3}),
        ("So 2 5 go", "So two five go", ("So", "2", "5", "go"), {"So": 0, "two": 1, "five": 2, "go": 3}),
        ("So $2 5 go", "So two dollars go", ("So", "$2", "5", "go"), {"So": 0, "go": 3}),
        ("one two three", "one two three", ("one", "three"), {"one": 0, "three": 1}),
        ("a — b", "a — b", ("a", "b"), {"a": 0, "b": 1}),
    ],
)  # fmt: skip
def test_words_keep_their_times_through_normalisation(
    written: str, normal: str, timed: tuple[str, ...], expected: dict[str, int]
) -> None:
    found = words_in_step(written, normal, times(*timed))
    assert found == [(word, float(n), n + 0.5) for word, n in expected.items()]


def test_word_times_move_with_the_trimmed_silence(tmp_path: Path) -> None:
    words = [["Mr.", 1.0, 1.4], ["Fox", 1.4, 2.0], ["has", 2.0, 2.2], ["$3.", 2.2, 2.5]]
    late = [["Mr.", 1.0, 1.4], ["Fox", 1.4, 9.0]]
    tar(
        tmp_path / "in.tar",
        {
            "a": described("Mr. Fox has $3.", wave(1.5, 1.0, 0.5), words=words),
            "b": described("Mr. Fox has it.", wave(1.5, 1.0, 0.5), words=late),
            "c": described("Mr. Fox has it.", wave(1.5, 1.0, 0.5), words=[["Mr.", None, 2]]),
        },
    )
    report = prepare(str(tmp_path / "in.tar"), tmp_path / "out", workers=1)
    assert stored(tmp_path / "out")["in/a"]["words"] == [["Mister", 0.1, 0.5], ["Fox", 0.5, 1.1], ["has", 1.1, 1.3]]
    assert reasons(report) == {
        "word times out of order or beyond the recording": ["in/b"], "unreadable word times": ["in/c"]
    }  # fmt: skip


def test_training_reads_what_was_prepared(tmp_path: Path) -> None:
    samples = {f"{n}": described(f"Mr. Fox, {n}.", words=[["Mr.", 0.0, 0.5], ["Fox,", 0.5, 1.0]]) for n in range(12)}
    tar(tmp_path / "in.tar", samples)
    prepare(str(tmp_path / "in.tar"), tmp_path / "out", workers=1)
    report = Report()
    shards = expand([str(tmp_path / "out" / "train-*.tar")])
    read = [decode(sample, TrainConfig(), 24_000) for sample in raw_samples(shards, report)]
    assert len(read) == 10 and not report.notices
    assert all(u.words == (("Mister", 0.0, 0.5), ("Fox,", 0.5, 1.0)) for u in read)
    assert all(u.text.startswith("Mister Fox, ") and len(u.samples) == 36_000 for u in read)


# ---- validation -----------------------------------------------------------------------------------------------------


def test_validation_by_hash_does_not_depend_on_order_or_company(tmp_path: Path) -> None:
    names = [f"{n:04d}" for n in range(60)]
    samples = {name: described() for name in names}
    for folder, order in (("a", names), ("b", random.Random(0).sample(names, 60)), ("c", names[:40])):
        tar(tmp_path / folder / "x.tar", {name: samples[name] for name in order})
        kept(tmp_path / folder, tmp_path / f"out-{folder}", valid_share=0.3, shard_utterances=10)
    a, b, c = (set(stored(tmp_path / f"out-{folder}", "valid")) for folder in "abc")
    assert a == b and 9 <= len(a) <= 27
    assert c == {key for key in a if key < "x/0040"}
    assert not a & set(stored(tmp_path / "out-a", "train")) and len(stored(tmp_path / "out-a")) == 60


@pytest.mark.parametrize(("count", "expected"), [(3, 0), (12, 2), (60, 8)])
def test_validation_by_hash_has_a_few(tmp_path: Path, count: int, expected: int) -> None:
    names = [f"{n}" for n in range(count)]
    valid = []
    for out, order in (("a", names), ("b", names[::-1])):
        tar(tmp_path / f"{out}/x.tar", {name: described() for name in order})
        kept(tmp_path / out, tmp_path / f"out-{out}", shard_utterances=7, valid_share=0.001)
        assert len(stored(tmp_path / f"out-{out}")) == count
        valid.append(set(stored(tmp_path / f"out-{out}", "valid")))
    assert len(valid[0]) == expected and valid[0] == valid[1]


def test_validation_by_speaker(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 20, 5)
    kept(tmp_path / "in", tmp_path / "named", valid_speakers=("s1", "s4"))
    assert {meta["speaker"] for meta in stored(tmp_path / "named", "valid").values()} == {"s1", "s4"}
    assert {meta["speaker"] for meta in stored(tmp_path / "named", "train").values()} == {"s0", "s2", "s3"}
    kept(tmp_path / "in", tmp_path / "share", valid_speaker_share=0.01)  # below one in five: one all the same
    assert len({meta["speaker"] for meta in stored(tmp_path / "share", "valid").values()}) == 1
    assert len(stored(tmp_path / "share", "valid")) == 4


def test_a_stream_without_the_validation_speaker_is_reported(tmp_path: Path) -> None:
    tar(tmp_path / "in.tar", {f"{n}": described(speaker=f"s{n}") for n in range(3)})
    with pytest.warns(UserWarning, match="nothing went to validation; 3 utterances by s0, s1, s2 went to training"):
        kept(tmp_path / "in.tar", tmp_path / "out", valid_speakers=("who",))


# ---- shards, processes, interruptions -------------------------------------------------------------------------------


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 30, 3)
    settings = PrepareConfig(format="ogg", shard_utterances=8)  # ogg, for libsndfile numbers its streams at random
    for workers in (1, 2):
        prepare(str(tmp_path / "in"), tmp_path / f"{workers}", settings, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    shards = {path.name: sum(1 for _ in read_shard(path)) for path in sorted((tmp_path / "1").glob("*.tar"))}
    assert shards == {
        "train-000000.tar": 8, "train-000001.tar": 8, "train-000002.tar": 8, "valid-000000.tar": 6
    }  # fmt: skip


def test_shards_are_limited_by_size_too(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 12, 3)
    kept(tmp_path / "in", tmp_path / "out", format="wav", shard_mb=0.15, valid_share=0.0)
    shards = sorted((tmp_path / "out").glob("train-*.tar"))
    assert len(shards) == 4 and all(path.stat().st_size < 400_000 for path in shards)


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_an_interrupted_run_resumes_from_its_last_shard(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recordings(tmp_path / "in", 40, 3)
    if kind == "shards":
        source = tmp_path / "tars"
        for part in range(4):
            tar(source / f"{part}.tar", {f"{n}": described(f"{TEXT} {part} {n}.") for n in range(10)})
    settings = PrepareConfig(shard_utterances=8, valid_share=0.1)
    prepare(str(source), tmp_path / "whole", settings, workers=1)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(str(source), out, settings, workers=1, progress=stop_after(35))
    assert not list(out.rglob("*.part"))
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("train-*.tar")}
    assert len(finished) >= 2 and not (out / "report.json").exists()
    examined = []
    examine = run.examine
    monkeypatch.setattr(run, "examine", lambda item, *rest: (examined.append(item.key), examine(item, *rest))[1])
    prepare(str(source), out, settings, workers=1)
    assert contents(out) == contents(tmp_path / "whole")
    assert len(examined) <= 24
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == finished


CRASH = """
import os, sys
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig
seen = []
def progress(description, done):
    seen.append(done)
    if len(seen) == 35:
        assert "torch" not in sys.modules
        os._exit(9)
if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], PrepareConfig(shard_utterances=8), workers=1, progress=progress)
"""


def test_a_crash_leaves_complete_shards_and_the_run_resumes(tmp_path: Path, root: Path) -> None:
    recordings(tmp_path / "in", 40, 3)
    arguments = [sys.executable, "-c", CRASH, str(tmp_path / "in"), str(tmp_path / "out")]
    ended = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, timeout=120)
    assert ended.returncode == 9, ended.stderr.decode()
    visible = [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert len(visible) >= 2
    for path in visible:
        assert sum(1 for _ in read_shard(path)) == 8
    settings = PrepareConfig(shard_utterances=8)
    prepare(str(tmp_path / "in"), tmp_path / "out", settings, workers=1)
    prepare(str(tmp_path / "in"), tmp_path / "whole", settings, workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_error_while_finishing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings(tmp_path / "in", 20, 3)
    prepare(str(tmp_path / "in"), tmp_path / "whole", workers=1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "vocab.txt")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(CharTokenizer, "save", full)
        prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    monkeypatch.setattr(run, "examine", None)  # nothing is examined again
    prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_names_the_shard(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "train-000000.tar", tmp_path)
    writer.add("a", {"txt": b"x"})
    shutil.rmtree(tmp_path)
    with pytest.raises(OSError) as error:
        writer.close()
    assert str(error.value.filename).endswith("train-000000.tar")


def test_a_finished_run_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings(tmp_path / "in", 6)
    report = prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(run, "examine", None)
    assert prepare(str(tmp_path / "in"), tmp_path / "out", workers=1) == report
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("stopped", [True, False])
def test_a_run_with_other_settings_is_refused(tmp_path: Path, stopped: bool) -> None:
    recordings(tmp_path / "in", 30)
    settings = PrepareConfig(shard_utterances=5)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            prepare(str(tmp_path / "in"), tmp_path / "out", settings, workers=1, progress=stop_after(25))
    else:
        prepare(str(tmp_path / "in"), tmp_path / "out", settings, workers=1)
    before = contents(tmp_path / "out")
    with pytest.raises(
        ValueError, match="holds a run with other settings: max_seconds was 20.0 and is 9.0; give the same again"
    ):
        prepare(str(tmp_path / "in"), tmp_path / "out", settings.replace(max_seconds=9.0), workers=1)
    put(tmp_path / "in/s0/new.wav")
    with pytest.raises(ValueError, match='input was .*"recordings": 30.* and is .*"recordings": 31'):
        prepare(str(tmp_path / "in"), tmp_path / "out", settings, workers=1)
    assert contents(tmp_path / "out") == before


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 4)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train-000000.tar").write_bytes(b"precious")
    with pytest.raises(ValueError, match="mine: not empty, and not a run of prepare"):
        prepare(str(tmp_path / "in"), tmp_path / "mine", workers=1)
    assert contents(tmp_path / "mine") == {"train-000000.tar": b"precious"}
    for inside in ("in", "in/out"):
        with pytest.raises(ValueError, match="is inside the input"):
            prepare(str(tmp_path / "in"), tmp_path / inside, workers=1)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: a file; give a folder"):
        prepare(str(tmp_path / "in"), tmp_path / "file", workers=1)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 3)
    with lock_folder(tmp_path / "out"), pytest.raises(ValueError, match="out is in use by"):
        prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    (tmp_path / "out" / ".prepare").mkdir(parents=True)  # left by a run that was killed
    prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_fixed_ogg_is_the_same_sound(tmp_path: Path) -> None:
    samples = audio.resample(wave(2.0), RATE, 24_000)
    one, two = (with_serial(audio.encode(samples, 24_000, "ogg")) for _ in range(2))
    assert one == two
    heard, rate = soundfile.read(io.BytesIO(one))
    plain, _ = soundfile.read(io.BytesIO(audio.encode(samples, 24_000, "ogg")))
    assert rate == 24_000 and np.array_equal(heard, plain)


# ---- the command ----------------------------------------------------------------------------------------------------


def vivavoce(*arguments: str) -> int:
    return speak.run(main.app, ["prepare", *arguments])


def test_the_command_reports_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings(tmp_path / "in", 10)
    put(tmp_path / "in/s0/quiet.wav", 0.0001 * wave())
    flags = ["--workers", "1", "--valid-speakers", "s1", "--format", "wav", "--shard-utterances", "3"]
    assert vivavoce(str(tmp_path / "in"), str(tmp_path / "out"), *flags) == 0
    out, err = capsys.readouterr()
    assert "10 utterances, 0.00 hours, 2 speakers: 5 for training in 2 shards, 5 for validation" in out
    assert "1 dropped: 1 silent" in out and "report.json" in out and err == ""
    assert {meta["sound"][:4] for meta in stored(tmp_path / "out").values()} == {b"RIFF"}


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--min-seconds", "x"], "'x' is not a number"),
        (["--min-seconds", "30"], "min_seconds is 30.0; it must be at least 0 and below max_seconds"),
        (["--format", "mp3"], "format is 'mp3'; it must be one of flac, ogg, wav"),
        (["--kind", "zip"], "kind is 'zip'; it must be one of auto, folder"),
        (["--workers", "0"], "workers is 0; it must be 1 or more"),
        (["--valid-share", "1"], "valid_share is 1.0"),
        (["--valid-speakers", ""], "valid_speakers is ('',); it must be names with commas between them"),
        (["--valid-speakers", "a", "--valid-speaker-share", "0.1"], "left out if valid_speakers are named"),
        (["--vocab", "no.txt"], "no.txt: No such file"),
    ],
)
def test_bad_flags_are_one_line(
    tmp_path: Path, flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings(tmp_path / "in", 2)
    assert vivavoce(str(tmp_path / "in"), str(tmp_path / "out"), *flags) == 2
    out, err = capsys.readouterr()
    assert complaint in err and err.count("\n") == 1 and out == "" and not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert vivavoce("owner/name", str(tmp_path / "out")) == 2
    assert "the package datasets is missing: pip install vivavoce[prepare]" in capsys.readouterr().err


def test_ctrl_c_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings(tmp_path / "in", 3)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "examine", interrupted)
    assert vivavoce(str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1") == 130
    assert "the same command resumes from there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
