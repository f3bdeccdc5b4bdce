"""The studio of the server: from recordings to a voice, with a stand-in for the training."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
from helpers import stand_in_training
from helpers.command_line import vivavoce
from helpers.server_api import error_of
from helpers.serving import Server, serving

from vivavoce import locks
from vivavoce.serve.settings import ServeConfig
from vivavoce.train_voice import scripts, studio
from vivavoce.train_voice.refusals import Busy
from vivavoce.voices import VARIABLE, get

RATE = 16_000
STAND_IN = (sys.executable, stand_in_training.__file__)
CONSENT = {"consent": "I, the speaker, agree to this voice. 1 May 2026."}


def take(seconds: float = 6.0, rate: int = RATE, loud: float = 0.3, edge: float = 0.5) -> bytes:
    """A recording that passes the checks: a tone between two pauses."""
    pause = np.zeros(round(edge * rate))
    sound = loud * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
    out = io.BytesIO()
    soundfile.write(out, np.concatenate([pause, sound, pause]), rate, format="WAV")
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio, "COMMAND", STAND_IN)
        patch.setenv(VARIABLE, str(folder / "voices"))
        with serving(folder, studio=True, studio_folder=str(folder / "studio")) as started:
            yield started


@pytest.fixture
def home(server: Server) -> Iterator[Path]:
    """The folder of an empty studio and of no voices."""
    folder = server.voices.parent
    yield folder
    with server.client() as client:
        for name in client.get("/v1/studio").json()["names"]:
            client.delete(f"/v1/studio/voices/{name}/training")
            client.delete(f"/v1/studio/voices/{name}")
    for path in server.voices.iterdir():
        path.unlink()


@pytest.fixture
def client(server: Server, home: Path) -> Iterator[httpx2.Client]:
    with server.client() as started:
        yield started


def create(client: httpx2.Client, name: str = "me") -> None:
    assert client.post("/v1/studio/voices", json={"name": name}).status_code == 200


def record(client: httpx2.Client, data: bytes, name: str = "me", file: str = "take.wav", **fields: Any) -> Any:
    files = {"audio": (file, data, "audio/wav")}
    return client.post(f"/v1/studio/voices/{name}/recordings", data=fields, files=files)


def recorded(client: httpx2.Client, name: str = "me") -> None:
    """A voice with three sentences."""
    create(client, name)
    for sentence in (1, 2, 3):
        assert record(client, take(), name, sentence=sentence).status_code == 200


def train(client: httpx2.Client, name: str = "me", **more: Any) -> Any:
    return client.post(f"/v1/studio/voices/{name}/training", json={**CONSENT, **more})


def until(client: httpx2.Client, true: Callable[[Any], bool], name: str = "me") -> Any:
    """Poll the training as the page does, until something holds."""
    for _ in range(600):
        state = client.get(f"/v1/studio/voices/{name}/training").json()
        if true(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def reach_model(made: studio.Studio) -> None:
    end = time.monotonic() + 30
    while made.state("me").stage != "model":
        assert time.monotonic() < end
        time.sleep(0.05)


def in_model(state: Any) -> bool:
    return state["stage"] == "model" and len(state["sounds"]) == 2


# --- recordings -------------------------------------------------------------------------------------------------------


def test_sentences_are_recorded_checked_heard_again_and_replaced(client: httpx2.Client, home: Path) -> None:
    sentences = client.get("/v1/studio/sentences", params={"count": 50}).json()["sentences"]
    assert sentences == scripts.read_script("50")
    create(client)
    made = record(client, take(), sentence=2).json()
    assert made == {"id": "0002", "seconds": 7.0, "text": sentences[1], "sentence": 2, "faults": []}
    assert "too quiet" in record(client, take(loud=0.03), sentence=3).json()["faults"][0]
    assert "to the end" in record(client, take(0.5), sentence=3).json()["faults"][0]  # in place of the other one
    assert "begins or ends in a word" in " ".join(record(client, take(edge=0.0), sentence=4).json()["faults"])
    found = client.get("/v1/studio/voices/me").json()
    assert [one["id"] for one in found["takes"]] == ["0002", "0003", "0004"]
    assert found["minutes"] == pytest.approx((7.0 + 1.5 + 6.0) / 60) and "expect" in found["advice"]
    sound, rate = soundfile.read(io.BytesIO(client.get("/v1/studio/voices/me/recordings/0002").content))
    assert rate == RATE and len(sound) == 7 * RATE  # its own rate says what it cannot hold
    folder = home / "studio" / "me" / "recordings"
    assert (folder / "0002.txt").read_text().strip() == sentences[1]
    assert client.delete("/v1/studio/voices/me/recordings/0002").json()["deleted"]
    assert not (folder / "0002.flac").exists() and not (folder / "0002.txt").exists()
    error_of(client.delete("/v1/studio/voices/me/recordings/0002"), 404)
    assert stat.S_IMODE((home / "studio").stat().st_mode) == 0o700


def test_files_are_dropped_with_and_without_their_words(client: httpx2.Client, home: Path) -> None:
    create(client)
    first = record(client, take(60, 48_000), file="../../My Talk.wav", text=" What I\n said. ").json()
    second = record(client, take(0.5), file="my talk.wav").json()
    assert (first["id"], first["text"]) == ("file-my-talk", "What I said.")
    assert (second["id"], second["text"], second["faults"]) == ("file-my-talk-2", "", [])
    assert soundfile.info(home / "studio" / "me" / "recordings" / "file-my-talk.flac").samplerate == 24_000
    wrong = error_of(record(client, b"no sound", file="a.wav"), 400)
    assert "cannot be decoded" in wrong["message"] and wrong["param"] == "audio"
    assert len(client.get("/v1/studio/voices/me").json()["takes"]) == 2


def test_a_recording_may_be_larger_than_other_uploads(server: Server, client: httpx2.Client) -> None:
    create(client)
    large = take(130, 48_000)
    assert len(large) > 12e6
    error_of(client.post("/v1/books", files={"file": ("a.txt", large)}), 413)
    assert record(client, large).status_code == 200
    error_of(client.post("/v1/studio/voices", content=b" " * 200_000), 413)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../up", "cannot be named"),
        ("a/b", "cannot be named"),
        ("..", "cannot be named"),
        ("nash", "built-in voice; choose another name"),
        ("Luna", "'luna' is a built-in voice"),
        ("CON", "a device in Windows"),
        ("nul", "a device in Windows"),
        ("ME", "already"),
        ("x" * 61, "more than 60"),
        ("", "empty"),
    ],
)
def test_names_are_checked(client: httpx2.Client, home: Path, name: str, complaint: str) -> None:
    create(client)
    assert complaint in error_of(client.post("/v1/studio/voices", json={"name": name}), 400)["message"]
    assert [path.name for path in (home / "studio").iterdir()] == ["me"]


def test_no_path_leads_out_of_the_folder(client: httpx2.Client, home: Path) -> None:
    create(client)
    (home / "secret.flac").write_bytes(b"x")
    for path in (
        "voices/..%2f..", "voices/nobody", "voices/me/recordings/..%2f..%2f..%2fsecret", "voices/me/sounds/..%5csecret",
        "voices/me/recordings/%2e%2e", "voices/me/bundle", "voices/me/report",
    ):  # fmt: skip
        error_of(client.get(f"/v1/studio/{path}"), 404)
    assert client.delete("/v1/studio/voices/..").status_code in (404, 405)
    assert (home / "secret.flac").exists() and (home / "studio" / "me").exists()


# --- training ---------------------------------------------------------------------------------------------------------


def test_from_recordings_to_a_voice_of_the_server(server: Server, client: httpx2.Client, home: Path) -> None:
    recorded(client)
    assert client.get("/v1/studio").json()["running"] is None
    assert train(client, minutes=10, licence="CC BY 4.0").json()["status"] == "running"
    state = until(client, in_model)
    assert [stage["done"] for stage in state["stages"]] == [True] * 4 + [False] * 4
    assert state["stages"][1]["line"] == "check: 3 recordings"
    assert (state["trained"], state["minutes"]) == (4.0, 10.0)
    assert state["done"] == pytest.approx(4 / 9) and state["left"] == pytest.approx(300)  # the durations took a tenth
    assert state["curves"]["nanospeech, training"][-1] == [4.0, 0.2]
    assert client.get("/v1/studio").json()["running"] == "me"
    for one in state["sounds"]:
        sound, _ = soundfile.read(io.BytesIO(client.get(f"/v1/studio/voices/me/sounds/{one['key']}").content))
        assert np.abs(sound).max() > 0.1
    assert "stop it first" in error_of(record(client, take(), sentence=9), 409)["message"]
    error_of(client.delete("/v1/studio/voices/me/recordings/0001"), 409)
    error_of(client.delete("/v1/studio/voices/me"), 409)
    recorded(client, "other")
    assert "one voice is trained at a time" in error_of(train(client, "other"), 409)["message"]
    error_of(client.get("/v1/studio/voices/me/bundle"), 404)

    (home / "studio" / "me" / "GO").touch()
    state = until(client, lambda state: state["status"] == "done")
    assert state["chosen"] == "candidate-2" and len(state["checkpoints"]) == 3
    (voice,) = [v for v in client.get("/v1/audio/voices").json()["data"] if v["type"] != "builtin"]
    assert (voice["id"], voice["consent"], voice["licence"]) == ("me", CONSENT["consent"], "CC BY 4.0")
    assert server.post(voice="me").content
    answer = client.get("/v1/studio/voices/me/bundle")
    assert "me.voice" in answer.headers["content-disposition"]
    assert "voice.json" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert "attachment" in client.get("/v1/studio/voices/me/report").headers["content-disposition"]

    # other recordings: a new run, on request only
    assert not client.get("/v1/studio/voices/me").json()["changed"]
    record(client, take(), sentence=4)
    assert client.get("/v1/studio/voices/me").json()["changed"]
    assert error_of(train(client), 409)["code"] == "recordings_changed"
    assert train(client, again=True).json()["status"] == "running"
    until(client, lambda state: state["status"] == "done")
    assert client.get("/v1/studio/voices/me").json()["voice"]

    assert client.delete("/v1/studio/voices/me").json()["deleted"]
    assert client.get("/v1/studio").json()["names"] == ["other"]
    assert get("me").consent == CONSENT["consent"]  # the finished voice stays
    assert "already" in error_of(client.post("/v1/studio/voices", json={"name": "me"}), 400)["message"]


def test_a_stopped_training_goes_on_where_it_was(client: httpx2.Client, home: Path) -> None:
    recorded(client)
    train(client)
    until(client, in_model)
    state = client.delete("/v1/studio/voices/me/training").json()
    assert state["status"] == "stopped" and not state["error"]
    assert locks.owner(home / "studio" / "me" / "run") is None
    (home / "studio" / "me" / "GO").touch()
    train(client)
    until(client, lambda state: state["status"] == "done")
    log = (home / "studio" / "me" / "log.txt").read_text().splitlines()
    assert log[:5] == [f"{stage} is done already" for stage in ("clips", "check", "prepare", "durations")] + ["model …"]


def test_what_ends_a_training_is_told(client: httpx2.Client, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(client)
    (home / "studio" / "me" / "FAIL").touch()
    train(client)
    state = until(client, lambda state: state["status"] != "running")
    assert (state["status"], state["error"]) == ("failed", "the loss is nan at step 3")
    for command, told in (
        (("sh", "-c", "echo vivavoce: no room; exit 2"), "vivavoce: no room"),
        (("sh", "-c", "exit 1"), "the training ended without a word"),
    ):
        monkeypatch.setattr(studio, "COMMAND", command)
        train(client)
        state = until(client, lambda state: state["status"] != "running")
        assert (state["status"], state["error"]) == ("failed", told)


def test_another_server_finds_the_training_that_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "COMMAND", STAND_IN)
    first = studio.Studio(tmp_path / "studio", tmp_path / "voices")
    first.create("me")
    for sentence in (1, 2, 3):
        wave, rate = soundfile.read(io.BytesIO(take()))
        first.add("me", wave, rate, "", sentence, "")
    first.start("me", 10, CONSENT["consent"], "private", "en")
    number = first._processes["me"].pid
    reach_model(first)
    second = studio.Studio(tmp_path / "studio", tmp_path / "voices")
    assert second.running("me") and second.state("me").status == "running"
    assert second.close() == []  # it was started by the other one
    stopper = "import sys\nfrom pathlib import Path\nfrom vivavoce.train_voice.studio import Studio\n"
    stopper += f"Studio(Path({str(tmp_path / 'studio')!r}), Path({str(tmp_path / 'voices')!r})).stop('me')"
    subprocess.run([sys.executable, "-c", stopper], check=True, timeout=60)
    assert not first.running("me") and not second.running("me") and second.state("me").status == "stopped"
    first.start("me", 10, CONSENT["consent"], "private", "en")
    reach_model(first)
    os.kill(first._processes["me"].pid, signal.SIGKILL)
    first._processes["me"].wait()
    killed = first.state("me")
    assert killed.status == "failed" and "memory ran out; it can be resumed" in killed.error
    assert first._processes["me"].pid != number
    first.start("me", 10, CONSENT["consent"], "private", "en")
    assert first.close() == ["me"] and not second.running("me")  # as the server does at its end


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"consent": ""}, "consent"),
        ({"consent": " " * 20}, "consent"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": "many"}, "minutes"),
        ({"lang": "../x"}, "lang"),
        ({"lang": "-x"}, "lang"),
        ({"lang": "xx"}, "lang"),
        ({"lang": "English"}, "lang"),
    ],
)
def test_bad_settings_are_refused_by_name(client: httpx2.Client, asked: dict[str, Any], field: str) -> None:
    recorded(client)
    error = error_of(train(client, **asked), 400)
    assert error["param"] == field and "^[" not in error["message"]
    assert client.get("/v1/studio/voices/me").json()["state"]["status"] == "new"


def test_too_little_and_recordings_without_text_are_refused(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(client)
    assert "at least" in error_of(train(client), 400)["message"]
    long = record(client, take(60), file="talk.wav", text="Typed words.").json()
    assert long["faults"][-1] == "longer than 15 s: Whisper writes its words, not the text that is given"
    monkeypatch.setattr(studio.importlib.util, "find_spec", lambda name: None)
    assert "vivavoce[eval]" in error_of(train(client), 400)["message"]


def test_words_that_cannot_belong_to_a_recording_are_refused(client: httpx2.Client) -> None:
    create(client)
    assert "only one of them" in error_of(record(client, take(), sentence=1, text="Mine."), 400)["message"]
    assert "must be the words" in error_of(record(client, take(), text="\N{GRINNING FACE}"), 400)["message"]
    assert client.get("/v1/studio/voices/me").json()["takes"] == []


def test_what_comes_at_the_same_time_is_done_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "COMMAND", STAND_IN)
    made = studio.Studio(tmp_path / "studio", tmp_path / "voices")
    wave, rate = soundfile.read(io.BytesIO(take()))
    names = ["a", "b", "c", "d"]
    for name in names:
        made.create(name)
    with ThreadPoolExecutor(4) as pool:
        for name in names:
            takes = [pool.submit(made.add, name, wave, rate, "Words.", None, "rec.wav") for _ in range(4)]
            assert len({one.result().id for one in takes}) == 4
        starts = [pool.submit(made.start, name, 10, CONSENT["consent"], "private", "en") for name in names]
        refused = [one for one in starts if one.exception() is not None]
    try:
        assert len(refused) == 3 and all(isinstance(one.exception(), Busy) for one in refused)
    finally:
        made.close()


# --- who may ----------------------------------------------------------------------------------------------------------


def test_without_the_flag_there_is_no_studio(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        error_of(client.get("/v1/studio"), 404)
        assert not [path for path in client.get("/openapi.json").json()["paths"] if "studio" in path]
        assert 'id="tab-studio" hidden' in client.get("/").text


def test_the_studio_is_in_the_page_and_in_the_description(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    paths = [path for path in described["paths"] if "studio" in path]
    assert len(paths) == 10 and "/v1/studio/voices/{name}/training" in paths
    assert "consent" in json.dumps(described["components"]["schemas"]["StartTraining"]["required"])
    assert 'id="tab-studio" hidden' not in client.get("/").text
    error_of(client.get("/v1/studio", headers={"origin": "https://elsewhere.example"}), 403)


def test_other_machines_need_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="--studio at host '0.0.0.0' .* needs an API key"):
        ServeConfig(host="0.0.0.0", studio=True)
    assert ServeConfig(host="0.0.0.0", studio=True, api_key="x").studio
    assert vivavoce("serve", "--studio", "--host", "0.0.0.0", "--port", "0") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "API key" in error
    with pytest.raises(ValueError, match="needs --studio"):
        ServeConfig(studio_folder="x")
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        studio.Studio(tmp_path / "open", tmp_path)


def test_a_key_is_asked_for_here_too(tmp_path: Path) -> None:
    folder = str(tmp_path / "studio")
    with serving(tmp_path, studio=True, studio_folder=folder, api_key="k") as server, server.client() as client:
        error_of(client.get("/v1/studio"), 401)
        assert client.get("/v1/studio", headers={"Authorization": "Bearer k"}).json()["names"] == []
