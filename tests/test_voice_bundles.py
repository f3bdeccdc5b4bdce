"""Voice bundles: the file, the user's voices folder, and the commands for both."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import trained_voice
from helpers.command_line import vivavoce
from helpers.own_voices import add_own_voices
from helpers.tones import Tones
from safetensors.numpy import load, save

from vivavoce.bundles import read_bundle, write_bundle
from vivavoce.checkpoints.difference import add, subtract
from vivavoce.config import BUILTIN_VOICES
from vivavoce.synthesis.tts import TTS
from vivavoce.voices import VARIABLE, Voice, add_voice, builtin_voices, get, own_names, remove_voice, voices


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A voices folder of this test alone."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "voices"))
    return tmp_path / "voices"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command and return its status, stdout and stderr."""
    status = vivavoce(*arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def rewritten(path: Path, changes: dict[str, bytes | None], **about: Any) -> Path:
    """Write the zip file again with other files (None: without), and other settings in voice.json."""
    with zipfile.ZipFile(path) as archive:
        files: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    files["voice.json"] = json.dumps(json.loads(files["voice.json"] or b"") | about).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, **changes}.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_a_bundle_is_a_zip_file_that_anyone_can_read(tmp_path: Path) -> None:
    trained_voice.write(tmp_path / "me.voice", transcript="Hello.")
    with zipfile.ZipFile(tmp_path / "me.voice") as archive:
        about = json.loads(archive.read("voice.json"))
        assert {"reference.flac", "embedding.safetensors", "MODEL_CARD.md"} <= set(archive.namelist())
        assert load(archive.read("weights/nanospeech.safetensors"))
    assert about["consent"] == "I agreed on 1 May." and about["transcript"] == "Hello."
    assert set(about["base"]) == {"nanospeech", "duration"}


def test_a_bundle_survives_saving_and_loading_with_its_weights(tmp_path: Path) -> None:
    voice = trained_voice.write(tmp_path / "me.voice")
    voice.save(tmp_path / "again.voice")
    again = Voice.load(tmp_path / "again.voice")
    assert again.weights is not None and voice.weights is not None
    assert again.weights.digest == voice.weights.digest and again.consent == voice.consent
    assert read_bundle(tmp_path / "again.voice", complete=True).training == {"minutes": 3.5}
    assert "weights" in repr(again)


@pytest.mark.parametrize(
    ("files", "about", "complaint"),
    [
        ({"evil.py": b"x"}, {}, "evil.py"),
        ({"../up": b"x"}, {}, "../up"),
        ({"reference.flac": None}, {}, "reference.flac"),
        ({"reference.flac": b"fLaC"}, {}, "reference.flac is damaged"),
        ({"MODEL_CARD.md": None}, {}, "MODEL_CARD.md is missing"),
        ({"voice.json": b"{"}, {}, "not JSON"),
        ({"voice.json": b"[" * 100_000}, {}, "voice.json"),
        ({"voice.json": None}, {}, "no voice.json"),
        ({"weights/duration.safetensors": None}, {}, "missing"),
        ({}, {"version": 3}, "version 3"),
        ({}, {"format": "other"}, "voice.json"),
        ({}, {"colour": "red"}, "colour"),
        ({}, {"licence": 5}, "licence"),
        ({}, {"sha256": []}, "sha256"),
        ({}, {"base": {"nanospeech": "0"}}, "base"),
    ],
)
def test_foreign_and_damaged_content_is_refused_in_one_line(
    tmp_path: Path, files: dict[str, bytes | None], about: dict[str, Any], complaint: str
) -> None:
    trained_voice.write(tmp_path / "me.voice")
    with pytest.raises(ValueError, match="me\\.voice") as caught:
        Voice.load(rewritten(tmp_path / "me.voice", files, **about))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_weights_are_refused_when_they_are_added_or_used(tmp_path: Path) -> None:
    trained_voice.write(tmp_path / "me.voice")
    content = save({"x": np.zeros(3, np.float32)})
    voice = Voice.load(rewritten(tmp_path / "me.voice", {"weights/nanospeech.safetensors": content}))
    assert voice.weights is not None
    for use in (
        lambda: voice.weights and voice.weights.tensors("nanospeech"),
        lambda: add_voice(tmp_path / "me.voice"),
    ):
        with pytest.raises(ValueError, match="nanospeech.safetensors is damaged"):
            use()
    cut = tmp_path / "cut.voice"
    cut.write_bytes((tmp_path / "me.voice").read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut.voice: not a readable zip"):
        Voice.load(cut)


def test_a_file_that_grows_when_it_is_unpacked_is_refused(tmp_path: Path) -> None:
    trained_voice.write(tmp_path / "me.voice")
    with pytest.raises(ValueError, match="larger than"):
        Voice.load(rewritten(tmp_path / "me.voice", {"voice.json": b" " * (2 << 20)}))


# --- the difference --------------------------------------------------------------------------------------------------


def test_a_difference_restores_the_tuned_weights_whole_or_as_factors() -> None:
    draw = np.random.default_rng(0)
    base = {"matrix": draw.standard_normal((80, 90)).astype(np.float16), "bias": np.ones(80, np.float16)}
    change = 0.1 * draw.standard_normal((80, 3)) @ draw.standard_normal((3, 90))
    tuned = {"matrix": (base["matrix"] + change).astype(np.float32), "bias": base["bias"].copy()}
    for loss, names in ((0.0, {"matrix"}), (1e-4, {"matrix|left", "matrix|right"})):
        stored = subtract(tuned, base, loss)
        assert set(stored) == names  # what did not change is not stored
        np.testing.assert_allclose(add(base, stored, "x")["matrix"], tuned["matrix"], atol=0.01)
    before = base["matrix"].copy()
    add(base, subtract(tuned, base), "x")
    assert np.array_equal(base["matrix"], before)


def test_a_difference_that_does_not_fit_is_refused() -> None:
    base = {"a": np.zeros((4, 4), np.float16)}
    huge = {"a|left": np.zeros((3_000_000, 1), np.float16), "a|right": np.zeros((1, 3_000_000), np.float16)}
    for wrong in ({"b": np.zeros((4, 4))}, {"a": np.zeros(3)}, {"a|left": np.zeros((4, 2))}, huge):
        with pytest.raises(ValueError, match="file: "):
            add(base, wrong, "file")


# --- the user's folder -----------------------------------------------------------------------------------------------


def test_a_voice_that_was_added_is_found_by_its_name(tmp_path: Path, folder: Path) -> None:
    trained_voice.write(tmp_path / "me.voice")
    with pytest.raises(ValueError, match="unknown voice 'me'"):
        get("me")
    assert add_voice(tmp_path / "me.voice").name == "me"
    assert add_voice(tmp_path / "me.voice", "my other").name == "my other"
    assert own_names() == ["me", "my other"]
    assert get("my other").weights is not None
    with pytest.raises(ValueError, match="already"):
        add_voice(tmp_path / "me.voice")
    remove_voice("me")
    assert own_names() == ["my other"]
    get("nash").save(tmp_path / "old.safetensors")  # a voice of version 1
    assert add_voice(tmp_path / "old.safetensors", "old").weights is None


@pytest.mark.parametrize("name", ["nash", "", "../up", "a/b", ".hidden", "x" * 61, "voice_" + "0" * 32])
def test_names_that_are_taken_or_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    trained_voice.write(tmp_path / "me.voice")
    with pytest.raises(ValueError, match="voice"):
        add_voice(tmp_path / "me.voice", name)


def test_the_commands_add_list_describe_export_and_remove(tmp_path: Path, capsys: Any) -> None:
    trained_voice.write(tmp_path / "me.voice")
    status, out, _ = run(capsys, "voices", "add", str(tmp_path / "me.voice"))
    assert status == 0 and "private" in out and "I agreed on 1 May." in out
    status, out, _ = run(capsys, "voices")
    assert status == 0 and "me\t" in out and "nash\t" in out
    status, out, _ = run(capsys, "voices", "info", "me")
    assert status == 0 and "minutes" in out and "3.5" in out and "I agreed" in out
    status, out, _ = run(capsys, "voices", "export", "me", str(tmp_path / "out.voice"))
    assert status == 0 and Voice.load(tmp_path / "out.voice").weights is not None
    assert run(capsys, "voices", "remove", "me")[0] == 0
    status, _, error = run(capsys, "voices", "info", "me")
    assert status == 2 and error.count("\n") == 1 and "unknown voice 'me'" in error
    status, _, error = run(capsys, "voices", "remove", "nash")
    assert status == 2 and "built-in" in error


def test_the_server_lists_and_speaks_the_voices_of_its_user(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("fastapi")
    from vivavoce.serve.voices import UnusableVoice, VoiceStore

    trained_voice.write(tmp_path / "me.voice")
    add_voice(tmp_path / "me.voice")
    store = VoiceStore(folder)
    (info,) = [info for info in store.infos() if not info.builtin]
    assert (info.id, info.consent) == ("me", "I agreed on 1 May.")
    voice = store.get("me")
    assert voice is not None and voice.weights is not None
    assert not store.delete("me") and store.get("../me") is None  # clients delete only what clients added
    (folder / "me.voice").write_bytes(b"PK\x03\x04")
    with pytest.raises(UnusableVoice):
        store.get("me")


# --- speaking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["onnx", "torch", "mlx"])
def test_a_trained_voice_changes_its_own_speech_and_no_other(tmp_path: Path, backend: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "mlx": "mlx.core"}.get(backend, backend))
    from vivavoce.synthesis.tts import load as load_model
    from vivavoce.systems.interface import SynthesisRequest

    tts = load_model(backend=backend)
    trained, plain = trained_voice.write(tmp_path / "me.voice"), get("nash")

    def said(voice: Voice) -> np.ndarray:
        return tts.speak("So it is.", voice, seed=1, retries=0, steps=2).samples

    before = said(plain)
    own = said(trained)
    assert len(own) != len(before) or np.abs(own - before).max() > 0.01
    assert np.array_equal(said(plain), before)

    requests = []
    for voice in (plain, trained, plain):  # together, as a server speaks them
        request = tts.begin("So it is.", voice, seed=1, retries=0, steps=2).next_request()
        assert isinstance(request, SynthesisRequest)
        requests.append(request)
    apart = [tts.system.synthesize([request])[0].samples for request in requests]
    together = [result.samples for result in tts.system.synthesize(requests)]
    for one, other in zip(apart, together, strict=True):
        assert one.shape == other.shape and np.abs(one - other).max() < 1e-2


def test_all_backends_speak_a_trained_voice_alike(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vivavoce.synthesis.tts import load as load_model

    voice = trained_voice.write(tmp_path / "me.voice", loss=1e-3)
    spoken = [
        load_model(backend=backend, dtype="float32").speak("So it is.", voice, seed=1, retries=0, steps=2).samples
        for backend in ("onnx", "torch")
    ]
    assert spoken[0].shape == spoken[1].shape and np.abs(spoken[0] - spoken[1]).max() < 0.02


def test_weights_for_another_model_are_refused(tmp_path: Path) -> None:
    from vivavoce.synthesis.tts import load as load_model

    tts = load_model(backend="onnx")
    voice = trained_voice.write(tmp_path / "me.voice", base="0" * 64)
    with pytest.raises(ValueError, match="'me' was trained from another nanospeech model") as caught:
        tts.speak("So it is.", voice)
    assert "\n" not in str(caught.value)
    trained_voice.write(tmp_path / "me.voice")
    voice = Voice.load(tmp_path / "me.voice")
    (tmp_path / "me.voice").unlink()
    with pytest.raises(ValueError, match=r"me\.voice"):
        tts.speak("So it is.", voice)


def test_an_engine_without_such_weights_says_that_it_only_clones(tmp_path: Path) -> None:
    from vivavoce.config import SpeakOptions
    from vivavoce.synthesis.planner import Planner
    from vivavoce.synthesis.tts import load as load_model

    system: Any = load_model(backend="onnx").system
    system.reload = None
    with pytest.warns(UserWarning, match="only has its recording"):
        planner = Planner(system, trained_voice.write(tmp_path / "me.voice"), SpeakOptions(voice="me"))
    assert planner.voice.weights is None


def test_a_recording_of_more_than_a_minute_is_cut(tmp_path: Path) -> None:
    write_bundle(tmp_path / "long.voice", {"name": "long"}, np.full(70 * 24_000, 0.1, np.float32))
    assert Voice.load(tmp_path / "long.voice").duration <= 60


def test_the_users_voices_are_listed_after_the_built_in_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_own_voices(tmp_path / "own", monkeypatch)
    with pytest.warns(UserWarning, match="'broken' is left out"):
        listed = voices()
    assert [voice.name for voice in listed] == [*BUILTIN_VOICES, "My own"]
    assert [voice.name for voice in builtin_voices()] == list(BUILTIN_VOICES)
    with pytest.warns(UserWarning):
        assert TTS(Tones()).voices[-1].description == "mine"
    assert "My own" in repr(TTS(Tones()))


def test_the_command_lists_the_users_voices_and_says_which_is_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_own_voices(tmp_path / "own", monkeypatch)
    status, printed, _ = run(capsys, "voices")
    assert status == 0
    assert "My own" in printed and "broken" in printed and "unusable" in printed and "celeste" in printed
