"""The whole of train-voice, on a tiny model: every stage, killed at each of them, and the voice that comes out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command_line import vivavoce
from helpers.own_voice import Recogniser, tiny_base, write_recordings

from vivavoce.synthesis.tts import load
from vivavoce.train_voice import choose
from vivavoce.train_voice.run import train_voice
from vivavoce.train_voice.settings import TrainVoiceConfig
from vivavoce.train_voice.state import Progress, read_state
from vivavoce.voices import VARIABLE, get, own_names

STAGES = 8


class Killed(BaseException):
    """What ends a process without its consent."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, Any]:
    """A voice, from a run that was killed when each stage began."""
    folder = tmp_path_factory.mktemp("train-voice")
    patch = pytest.MonkeyPatch()
    patch.setenv(VARIABLE, str(folder / "voices"))
    write_recordings(root, folder / "recordings")
    settings = TrainVoiceConfig("me", minutes=0.03, base=str(tiny_base(folder / "base")), consent="I agree.", threads=1)
    lines: list[str] = []
    result = None
    for stage in range(1, STAGES + 2):

        def say(line: str, stage: int = stage) -> None:
            lines.append(line)
            if line.startswith(f"{stage} of") and line.endswith("…"):
                raise Killed

        try:
            result = train_voice(folder / "recordings", folder / "run", settings, say=say, recognizer=Recogniser)
        except Killed:
            continue
    yield {"folder": folder, "result": result, "lines": lines, "settings": settings}
    patch.undo()


def test_the_run_ends_with_a_voice_that_is_named_like_any_other(made: dict[str, Any]) -> None:
    result, folder = made["result"], made["folder"]
    assert own_names() == ["me"] and result.voice == folder / "voices" / "me.voice"
    voice = get("me")
    assert voice.consent == "I agree." and voice.weights is not None and voice.transcript
    assert set(voice.weights.base) == {"nanospeech", "duration"}
    with zipfile.ZipFile(result.voice) as archive:
        assert b"I agree." in archive.read("MODEL_CARD.md") and b"<svg" in archive.read("curves.svg")


def test_a_killed_run_does_no_stage_twice(made: dict[str, Any]) -> None:
    for stage in range(1, STAGES + 1):
        begun = [line for line in made["lines"] if line.startswith(f"{stage} of") and line.endswith("…")]
        assert len(begun) == 2, begun  # once when it was killed, once when it was done


def test_the_report_has_the_curves_players_and_advice(made: dict[str, Any]) -> None:
    text = made["result"].report.read_text()
    assert text.count("<audio") == text.count("data:image/png") == 6 and "<svg" in text  # one was held out
    assert "minutes of usable speech" in text and "(chosen)" in text
    (told,) = {line for line in made["lines"] if "minutes of usable speech" in line}
    assert told.startswith("notice: ") and "expect" in told and "--ref-audio" in told
    assert len(list((made["folder"] / "run" / "samples").glob("*.wav"))) == 3
    assert made["result"].after.wer == 0.0 or made["result"].after.wer is not None


def test_the_voice_speaks_with_its_own_weights_and_the_others_as_before(made: dict[str, Any]) -> None:
    tts = load(str(made["folder"] / "base"))

    def said(voice: Any) -> np.ndarray:
        return tts.speak("So it is.", voice, seed=1, retries=0).samples

    before = said("nash")
    import dataclasses

    voice = get("me")
    trained, cloned = said("me"), said(dataclasses.replace(voice, weights=None))
    assert trained.shape != cloned.shape or not np.array_equal(trained, cloned)
    assert np.array_equal(said("nash"), before)


def test_a_finished_run_only_says_what_it_did(made: dict[str, Any]) -> None:
    lines: list[str] = []
    again = train_voice(
        made["folder"] / "recordings", made["folder"] / "run", made["settings"], say=lines.append,
        recognizer=lambda: pytest.fail("asked again"),
    )  # fmt: skip
    assert again == made["result"] and not any(line.endswith("…") for line in lines)


def test_other_recordings_or_a_name_that_is_taken_are_refused(made: dict[str, Any], tmp_path: Path, root: Path) -> None:
    settings = made["settings"]
    other = write_recordings(root, tmp_path / "other", count=5)
    with pytest.raises(ValueError, match="another voice .different: recordings"):
        train_voice(other, made["folder"] / "run", settings, recognizer=Recogniser)
    with pytest.raises(ValueError, match="there is a voice 'me' already"):
        train_voice(other, tmp_path / "run", settings, recognizer=Recogniser)
    with pytest.raises(ValueError, match="is inside the recordings"):
        train_voice(other, other / "run", settings.replace(name="b"), recognizer=Recogniser)


def test_too_little_speech_is_refused_with_advice(made: dict[str, Any], tmp_path: Path, root: Path) -> None:
    few = write_recordings(root, tmp_path / "few", count=2)
    with pytest.raises(ValueError, match="--ref-audio"):
        train_voice(few, tmp_path / "run", made["settings"].replace(name="b"), recognizer=Recogniser)


def test_bad_input_on_the_command_line_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, complaint in (
        (("missing", "--name", "me"), "no such folder"),
        ((str(tmp_path), "--name", "nash"), "built-in"),
        ((str(tmp_path), "--name", "me", "--minutes", "0"), "minutes"),
    ):
        assert vivavoce("train-voice", *arguments) == 2
        error = capsys.readouterr().err
        assert complaint in error and error.count("\n") == 1


def test_the_chosen_checkpoint_is_understood_as_well_as_alike() -> None:
    base = choose.Candidate("base", {"a": 0.5}, 0.0, 0.05)
    alike = choose.Candidate("alike", {"a": 0.9}, 0.9, 0.4)
    good = choose.Candidate("good", {"a": 0.8}, 0.7, 0.06)
    assert choose.best([alike, good], base) is good
    unheard = [choose.Candidate("x", {"a": 0.8}, 0.7), choose.Candidate("y", {"a": 0.9}, 0.9)]
    assert choose.best(unheard, choose.Candidate("base")).name == "y"


def test_the_folder_tells_how_far_the_run_is_and_has_something_to_listen_to(made: dict[str, Any]) -> None:
    found = read_state(made["folder"] / "run")
    assert found.status == "done" and not found.error and all(stage.done for stage in found.stages)
    assert any("minutes of usable speech" in notice for stage in found.stages for notice in stage.notices)
    titles = [sound["title"] for sound in found.sounds]
    assert titles[:2] == ["the recording", "cloned, before training"] and titles[-3:] == 3 * ["the voice"]
    assert any(title.startswith("candidate-") for title in titles)
    assert found.sounds[0]["text"] == found.sounds[1]["text"] == found.sounds[2]["text"]
    assert found.chosen in [one["name"] for one in found.checkpoints] and found.trained > 0
    assert any(name.startswith("nanospeech") for name in found.curves)


def test_a_run_that_fails_or_is_killed_is_told_apart_from_one_that_goes_on(tmp_path: Path) -> None:
    assert read_state(tmp_path).status == "new"
    writer = Progress(tmp_path, 10.0)
    with pytest.raises(ValueError), writer.watched():
        writer.show("check")
        assert read_state(tmp_path, running=True).status == "running"
        assert read_state(tmp_path).stage == "check" and read_state(tmp_path).status == "stopped"  # nobody has the lock
        raise ValueError("no speech")
    assert (read_state(tmp_path).status, read_state(tmp_path).error) == ("failed", "no speech")
    with pytest.raises(KeyboardInterrupt), writer.watched():
        raise KeyboardInterrupt
    assert read_state(tmp_path).status == "stopped"


def test_the_time_left_of_a_stage_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("vivavoce.train_voice.state.time.monotonic", lambda: clock[0])
    writer = Progress(tmp_path, 10.0)
    for done, left in ((0.2, None), (0.4, 30), (0.6, 20)):  # 0.2 was done by an earlier run, then 0.2 in 10 s
        writer.show("clips", "", done)
        assert read_state(tmp_path, running=True).left == left
        clock[0] += 10.0
    assert read_state(tmp_path, running=False).left is None
    writer.show("model")
    run = tmp_path / "training" / "nanospeech"
    run.mkdir(parents=True)
    (run / "log.jsonl").write_text('{"step": 100, "minutes": 3.0, "loss": 1.0}\n')
    state = read_state(tmp_path, running=True)
    assert state.done == pytest.approx(1 / 3) and state.left == pytest.approx(360)  # of 9 minutes, by the clock
    (run.parent / "nanospeech.json").write_text('{"train": {"max_steps": 150}}')
    state = read_state(tmp_path, running=True)
    assert state.done == pytest.approx(2 / 3) and state.left == pytest.approx(90)  # 50 steps
