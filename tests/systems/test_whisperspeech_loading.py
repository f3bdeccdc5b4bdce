"""The whisperspeech engine: folders, published files, languages and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from helpers.whisperspeech_system import (
    CODEC_CONFIG,
    T2S_CONFIG,
    VOCODER_CONFIG,
    build,
    publish,
)
from helpers.whisperspeech_tests import TEXT, speak

import vivavoce
from vivavoce.checkpoints import resolve
from vivavoce.cli import main
from vivavoce.cli import speak as cli_speak
from vivavoce.systems import load as systems_load
from vivavoce.systems.load import load_system
from vivavoce.systems.whisperspeech_torch import WhisperspeechSystem
from vivavoce.voices import Voice, get

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


@pytest.fixture(scope="module")
def tts(folder: Path) -> vivavoce.TTS:
    return vivavoce.load(str(folder))


def changed(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / part / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


# --- loading --------------------------------------------------------------------------------------------------------


def test_auto_takes_torch_on_apple_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems_load, "choose_backend", lambda *_: "mlx")
    assert isinstance(load_system(str(folder)), WhisperspeechSystem)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"backend": "mlx"}, "backend is 'mlx', and .* is a whisperspeech model, which only runs in PyTorch"),
        ({"bits": 8}, "bits is 8, and .* is a whisperspeech model, which has no quantised weights"),
    ],
)
def test_what_this_engine_does_not_have_is_refused(folder: Path, arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        vivavoce.load(str(folder), **arguments)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_speaks(folder: Path, dtype: str) -> None:
    assert vivavoce.load(str(folder), dtype=dtype).speak("yes", seed=1).duration > 0.05


def test_the_bundled_model_is_named_or_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resolve, "ASSETS", tmp_path)  # where `find` looks
    with pytest.raises(ValueError, match="model 'whisperspeech' is not bundled in this version"):
        vivavoce.load("whisperspeech")
    build(tmp_path / "whisperspeech")
    assert vivavoce.load("whisperspeech").speak("yes", seed=1).duration > 0.05


@pytest.mark.parametrize(
    ("part", "change", "complaint"),
    [
        ("", {"t2s": "elsewhere"}, "t2s is 'elsewhere', but there is no folder"),
        ("", {"s2a": "t2s"}, "a t2s model, where a s2a model is needed"),
        ("", {"steps": 3}, "unknown setting 'steps'; valid are"),
        ("", {"sampling": {"pace": -1}}, "sampling: pace is -1.0; it must be positive"),
        ("", {"codec": 4}, 'codec is 4; it must be "bundled" or the name of a folder'),
        ("t2s", {"tokens": {"semantic": "abc"}}, "has abc for the hash of its semantic model, .* has xyz"),
        ("t2s", {"model": {**T2S_CONFIG.to_dict(), "codes": 21}}, "has 21 semantic codes, .* has 20; they do not fit"),
        ("codec", {"model": {**CODEC_CONFIG.to_dict(), "quantizers": 2}}, "has 3 codebooks, .* has 2; they do not fit"),
        ("vocoder", {"model": {**VOCODER_CONFIG.to_dict(), "dim": 9}}, "the weights do not fit the config"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    tmp_path: Path, part: str, change: dict[str, Any], complaint: str
) -> None:
    build(tmp_path)
    changed(tmp_path, "s2a", lambda values: values.update(tokens={"semantic": "xyz"}))
    changed(tmp_path, part, lambda values: values.update(change))
    with pytest.raises(ValueError, match=complaint):
        vivavoce.load(str(tmp_path))


def test_a_vocoder_for_other_frames_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="the vocoder reads mel .* the codec produces"):
        vivavoce.load(str(folder), vocoder="bundled")


# --- the published format -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(folder)
    return folder


def test_a_published_pair_speaks_with_a_vector_of_its_own_encoder(pair: Path, tmp_path: Path) -> None:
    tts = vivavoce.load(str(pair), vocoder="vocos")
    assert tts.sample_rate == 24_000 and "pl" not in tts.system.languages  # its embedding has two rows
    voice = Voice("ecapa", get("nash").samples, embedding=np.random.default_rng(0).standard_normal(192).astype("f4"))
    voice.save(tmp_path / "ecapa.safetensors")
    speech = tts.speak("yes", Voice.load(tmp_path / "ecapa.safetensors"), seed=1)
    assert 0.02 < speech.duration < 3


def test_a_published_pair_makes_no_codes_of_sound(pair: Path) -> None:
    tts = vivavoce.load(str(pair), vocoder="vocos")
    with pytest.raises(ValueError, match="copy synthesis: this model speaks EnCodec's codes"):
        tts.system.copy_synthesis(get("nash").samples)  # type: ignore[attr-defined]


def test_one_of_several_published_files_must_be_named(pair: Path, tmp_path: Path) -> None:
    for name in ("t2s-a.model", "t2s-b.model", "s2a-a.model"):
        (tmp_path / name).write_bytes((pair / name.replace("-b", "-a")).read_bytes())
    with pytest.raises(ValueError) as error:
        vivavoce.load(str(tmp_path))
    assert "it has s2a-a.model, t2s-a.model, t2s-b.model; name them, as in" in str(error.value)
    assert f"{tmp_path}:t2s-a.model,s2a-a.model" in str(error.value)
    for names in ("t2s-b.model", "t2s-b.model,s2a-a.model"):
        assert vivavoce.load(f"{tmp_path}:{names}", vocoder=str(pair / "vocos")).system.languages == ("en", "zh")
    with pytest.raises(ValueError, match=r"has no t2s-c.model; it has s2a-a.model, t2s-a.model, t2s-b.model"):
        vivavoce.load(f"{tmp_path}:t2s-c.model")
    (tmp_path / "s2a-a.model").unlink()
    with pytest.raises(ValueError, match=r"one s2a-\*.model are needed; it has t2s-a.model, t2s-b.model$"):
        vivavoce.load(str(tmp_path))


def test_of_a_hub_repository_only_the_pair_is_fetched(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["README.md", "t2s-a.model", "t2s-b.model", "s2a-a.model", "whisper-vq-stoks-v2.model"]
    fetched: list[str] = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        for file in there:
            if file in allow_patterns:
                fetched.append(file)
                (tmp_path / file).write_bytes((pair / file.replace("-b", "-a")).read_bytes())
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda _: there)
    with pytest.raises(ValueError, match="name them, as in owner/speech:t2s-a.model,s2a-a.model"):
        vivavoce.load("owner/speech")
    assert fetched == []
    vivavoce.load("owner/speech:t2s-b.model", vocoder=str(pair / "vocos"))
    assert set(fetched) == {"t2s-b.model", "s2a-a.model"}


def test_a_mel_vocoder_cannot_speak_published_codes(pair: Path) -> None:
    with pytest.raises(ValueError, match="vocoder 'bundled' reads mel frames"):
        vivavoce.load(str(pair), vocoder="bundled")


# --- languages through speak, and the command line ------------------------------------------------------------------


def test_languages_of_a_list_of_a_tag_and_of_lang(tts: vivavoce.TTS) -> None:
    mixed = tts.speak([("fr", "bonjour"), ("en", "everyone")], seed=1)
    tagged = tts.speak("[fr]bonjour[en] everyone", seed=1)
    assert np.array_equal(mixed.samples, tagged.samples)
    assert [code for p in mixed.pieces for code, _ in p.languages] == ["fr", "en"]
    french, english = tts.speak("bonjour", lang="fr", seed=1), tts.speak("bonjour", seed=1)
    assert not np.array_equal(french.samples, english.samples)
    for text, options in (([("xx", "hi")], {}), ("[de]hallo", {}), ("hi", {"lang": "xx"})):
        with pytest.raises(ValueError, match=r"it speaks en, fr|code"):
            tts.stream(text, **options)


def vivavoce_command(*arguments: str) -> int:
    return cli_speak.run(main.app, arguments)


def test_the_command_line_speaks_languages_with_the_engines_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--model", str(folder), "--seed", "1")
    assert vivavoce_command("bonjour", "--lang", "fr", "-o", "fr.wav", *flags) == 0
    assert vivavoce_command("[fr]bonjour", "-o", "tag.wav", *flags) == 0
    assert vivavoce_command("bonjour", "-o", "en.wav", *flags) == 0
    assert Path("fr.wav").read_bytes() == Path("tag.wav").read_bytes() != Path("en.wav").read_bytes()
    tts = vivavoce.load(str(folder))
    assert vivavoce_command(TEXT, "--temperature", "1.4", "--top-k", "12", "-o", "drawn.wav", *flags) == 0
    tts.speak(TEXT, temperature=1.4, top_k=12, seed=1).save("same.wav")
    tts.speak(TEXT, seed=1).save("other.wav")
    assert Path("drawn.wav").read_bytes() == Path("same.wav").read_bytes() != Path("other.wav").read_bytes()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--lang", "xx"], "it speaks en, fr"),
        (["--steps", "4"], "steps is 4, but this model has no such option"),
        (["--temperature", "5"], "temperature is 5.0; it must be from 0 to 2"),
        (["--top-k", "few"], "'few' is not a whole number"),
        (["--backend", "mlx"], "only runs in PyTorch"),
        (["--bits", "8"], "no quantised weights"),
    ],
)
def test_the_command_line_refuses_in_one_line(
    folder: Path, flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert vivavoce_command("hi", "--model", str(folder), "-o", str(tmp_path / "a.wav"), *flags) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") or complaint in line
    assert complaint in line
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.slow
def test_compiled_steps_speak_the_same(folder: Path) -> None:
    plain, compiled = (speak(vivavoce.load(str(folder), compile=c).system, temperature=0.0) for c in (False, True))
    assert plain.memory.semantic.tolist() == compiled.memory.semantic.tolist()
    assert np.abs(plain.samples - compiled.samples).max() < 1e-4
