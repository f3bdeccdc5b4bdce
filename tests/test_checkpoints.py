"""Model folders: ours and the published formats, what is refused and how, and whole systems that speak from them."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vivavoce.checkpoints import choose_backend, load_system
from vivavoce.checkpoints_torch import load_vocoder, read_weights
from vivavoce.config import Config, DurationConfig, NanospeechConfig, SpeakOptions, VocoderConfig
from vivavoce.engines.nanospeech_torch import DurationTransformer, Nanospeech, duration_model
from vivavoce.pieces import Job, Piece
from vivavoce.system_torch import NanospeechSystem
from vivavoce.vocoder_torch import Vocoder
from vivavoce.voices import Voice

torch.set_num_threads(1)

CHARACTERS = " abcdefghijklmnopqrstuvwxyz,.'"
TEXT = "others call me mother nature."
VOCODER = VocoderConfig(dim=16, intermediate_dim=32, num_layers=1)
MODEL = NanospeechConfig(
    vocab_size=len(CHARACTERS), dim=32, depth=2, heads=2, head_dim=16, text_dim=16, text_layers=1,
    text_align="durations", rotary="all_heads", adaln="shared", audio_prompt=False, speaker_dim=8, patch=2,
    mel_mean=-4.0, mel_scale=0.5,
)  # fmt: skip
DURATION = DurationConfig(kind="characters", vocab_size=len(CHARACTERS), dim=16, depth=1, speaker_dim=8)
OPTIONS = SpeakOptions(steps=2, method="euler", cfg=1.5, sway_coef=-1.0)


def randomised(model: nn.Module) -> nn.Module:
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not name.endswith(("out.bias", "gamma")):
                p.copy_(torch.randn(p.shape, generator=draw) / (p[0].numel() ** 0.5 if p.ndim > 1 else 10))
    return model


def write(folder: Path, kind: str, model: nn.Module, config: Config, **settings: Any) -> Path:
    """A model folder in our format."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format": 1, "kind": kind, "model": config.to_dict(), **settings}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    save_file(randomised(model).state_dict(), folder / "model.safetensors")
    return folder


def write_own(folder: Path, model: NanospeechConfig = MODEL, duration: DurationConfig = DURATION) -> Path:
    """Our format, with its duration model and vocoder in folders within."""
    write(
        folder, "nanospeech", Nanospeech(model), model, characters=CHARACTERS,
        duration="duration", vocoder="vocoder", sampling={"steps": 3, "method": "euler", "cfg": 1.0, "sway_coef": 0.0},
    )  # fmt: skip
    write(folder / "duration", "duration", duration_model(duration), duration, characters=CHARACTERS)
    write(folder / "vocoder", "vocoder", Vocoder(VOCODER), VOCODER)
    return folder


# ---- the published layout, by hand --------------------------------------------------------------------------------


def linear(name: str, out: int, inside: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inside), **({f"{name}.bias": (out,)} if bias else {})}


def conv(name: str, out: int, inside: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inside, kernel), f"{name}.bias": (out,)}


def published_shapes(
    rows: int, dim: int, depth: int, heads: int, text_dim: int, text_layers: int, duration: bool
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as lucasnewman/nanospeech saves them, buffers included."""
    t, wide = "transformer", heads * 64
    shapes: dict[str, tuple[int, ...]] = {
        "mel_spec.mel_stft.spectrogram.window": (1024,),
        "mel_spec.mel_stft.mel_scale.fb": (513, 100),
        f"{t}.text_embed.text_embed.weight": (rows, text_dim),
    }
    for i in range(text_layers):
        block = f"{t}.text_embed.text_blocks.{i}"
        shapes |= conv(f"{block}.dwconv", text_dim, 1, 7) | {f"{block}.norm.weight": (text_dim,)}
        shapes |= {f"{block}.norm.bias": (text_dim,)} | linear(f"{block}.pwconv1", 2 * text_dim, text_dim)
        shapes |= {f"{block}.grn.{p}": (1, 1, 2 * text_dim) for p in ("gamma", "beta")}
        shapes |= linear(f"{block}.pwconv2", text_dim, 2 * text_dim)
    shapes |= linear(f"{t}.input_embed.proj", dim, (100 if duration else 200) + text_dim)
    for i in (0, 2):
        shapes |= conv(f"{t}.input_embed.conv_pos_embed.conv1d.{i}", dim, dim // 16, 31)
    for i in range(depth):
        block = f"{t}.transformer_blocks.{i}"
        for part in "qkv":
            shapes |= linear(f"{block}.attn.to_{part}", wide, dim)
        shapes |= linear(f"{block}.attn.to_out.0", dim, wide, bias=False)
        shapes |= linear(f"{block}.ff.ff.0.0", 2 * dim, dim) | linear(f"{block}.ff.ff.2", dim, 2 * dim)
        if not duration:
            shapes |= linear(f"{block}.attn_norm.linear", 6 * dim, dim)
    if duration:
        return shapes | {f"{t}.norm_out.weight": (dim,)} | linear("to_pred.0", 1, dim, bias=False)
    shapes |= linear(f"{t}.time_embed.time_mlp.0", dim, 256) | linear(f"{t}.time_embed.time_mlp.2", dim, dim)
    return shapes | linear(f"{t}.norm_out.linear", 2 * dim, dim) | linear(f"{t}.proj_out", 100, dim, bias=False)


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        n: torch.randn(s, generator=draw) / (torch.Size(s[1:]).numel() ** 0.5 if len(s) > 1 else 10)
        for n, s in shapes.items()
    }


def write_published(folder: Path, duration: bool = True, vocabulary: str = "\n".join(CHARACTERS)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(vocabulary.split("\n")) + 1  # as the published loader counts
    shapes = published_shapes(rows, 32, 2, 1, 16, 1, duration=False)
    save_file(random_weights(shapes), folder / "model.safetensors")
    if duration:
        shapes = published_shapes(rows, 32, 1, 1, 16, 0, duration=True)
        save_file(random_weights(shapes), folder / "duration.safetensors")
    (folder / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    return folder


def write_vocos(folder: Path) -> Path:
    """charactr/vocos-mel-24khz's two files, small."""
    folder.mkdir(parents=True, exist_ok=True)
    state = dict(randomised(Vocoder(VOCODER)).state_dict())
    state |= {
        "feature_extractor.mel_spec.spectrogram.window": torch.hann_window(1024),
        "feature_extractor.mel_spec.mel_scale.fb": torch.zeros(513, 100),
        "head.istft.window": torch.hann_window(1024),
    }
    torch.save(state, folder / "pytorch_model.bin")
    values = {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
            "init_args": {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
        },
        "backbone": {
            "class_path": "vocos.models.VocosBackbone",
            "init_args": {"input_channels": 100, "dim": 16, "intermediate_dim": 32, "num_layers": 1},
        },
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 16, "n_fft": 1024, "hop_length": 256, "padding": "center"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


# ---- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_vocos(tmp_path / "vocos")
    return write_published(tmp_path / "published")


@pytest.fixture(scope="module")
def voice() -> Voice:
    time = np.arange(24_000) / 24_000
    wave = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(6 * time)) * time)
    vector = np.ones(8, np.float32) / 8**0.5
    return Voice("tester", wave.astype(np.float32), "some call me nature", vector)


def speaking(folder: Path, **options: Any) -> NanospeechSystem:
    return load_system(str(folder), device="cpu", **options)


def speaking_published(folder: Path) -> NanospeechSystem:
    return speaking(folder, vocoder=str(folder.parent / "vocos"))


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of a config.json; `...` takes one away."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def refusal(act: Callable[[], Any]) -> str:
    """The ValueError's message, which is one line."""
    with pytest.raises(ValueError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message and message.strip()
    return message


# ---- our format ---------------------------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_written(own: Path) -> None:
    system = speaking(own)
    assert (system.model.config, system.duration.config, system.vocoder.config) == (MODEL, DURATION, VOCODER)
    assert "".join(system.tokenizer.characters) == CHARACTERS
    assert (system.sampling.steps, system.sampling.method, system.sampling.cfg) == (3, "euler", 1.0)
    assert system.sampling.max_seconds == 20.0
    assert (system.sample_rate, system.frame_rate, system.uses_transcript) == (24_000, 93.75, False)
    saved = load_file(own / "model.safetensors")
    assert all(torch.equal(v, saved[k]) for k, v in system.model.state_dict().items())
    assert not any(p.requires_grad for p in system.model.parameters()) and not system.model.training


def test_half_precision_files_load_as_float32(own: Path) -> None:
    path = own / "model.safetensors"
    save_file({k: v.half() for k, v in load_file(path).items()}, path)
    assert {p.dtype for p in speaking(own).model.parameters()} == {torch.float32}


def test_parts_may_lie_elsewhere(own: Path, tmp_path: Path) -> None:
    shutil.move(own / "duration", tmp_path / "elsewhere")
    edit(own, duration="../elsewhere")
    assert speaking(own).duration.config == DURATION
    other = VOCODER.replace(num_layers=2)
    write(tmp_path / "vocoder", "vocoder", Vocoder(other), other)
    assert speaking(own, vocoder=str(tmp_path / "vocoder")).vocoder.config == other


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tempo": 1}, ("tempo", "valid are format, kind, model")),
        ({"kind": "vocoder"}, ("a vocoder model, where a nanospeech model is needed",)),
        ({"kind": ...}, ("kind",)),
        ({"format": 2}, ("format 2", "reads format 1")),
        ({"format": ...}, ("format None",)),
        ({"model": {**MODEL.to_dict(), "depht": 3}}, ("depht", "did you mean 'depth'?")),
        ({"model": {**MODEL.to_dict(), "depth": 0}}, ("depth is 0", "positive")),
        ({"model": {**MODEL.to_dict(), "depth": "2"}}, ("depth is '2'", "int")),
        ({"model": []}, ("expected an object",)),
        ({"characters": CHARACTERS + "é"}, (f"vocab_size is {len(CHARACTERS)}", f"has {len(CHARACTERS) + 1}")),
        ({"characters": 7}, ("characters is 7",)),
        ({"sampling": {"steps": 0}}, ("steps is 0", "from 1 to 256")),
        ({"duration": 5}, ("duration is 5",)),
        ({"duration": "nowhere"}, ("nowhere", "config.json")),
        ({"vocoder": None}, ("vocoder is None",)),
        ({"vocoder": "./nowhere"}, ("./nowhere",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_config_is_refused_by_file_and_value(own: Path, changes: Any, named: tuple[str, ...]) -> None:
    edit(own, **changes)
    message = refusal(lambda: speaking(own))
    assert all(part in message for part in named), message
    assert "nowhere" in message or str(own / "config.json") in message


def test_broken_json_is_refused(own: Path) -> None:
    (own / "config.json").write_text('{"format": 1,')
    assert str(own / "config.json") in refusal(lambda: speaking(own))
    (own / "config.json").write_bytes(b"\xff\xfe\x00")
    assert str(own / "config.json") in refusal(lambda: speaking(own))
    (own / "config.json").write_text("[1]")
    assert "kind" in refusal(lambda: speaking(own))


def test_a_duration_model_of_other_characters_is_refused(own: Path) -> None:
    edit(own / "duration", characters=CHARACTERS[::-1])
    assert "its characters differ" in refusal(lambda: speaking(own))
    smaller = DURATION.replace(vocab_size=5)
    write(own / "duration", "duration", duration_model(smaller), smaller, characters=CHARACTERS)
    assert "vocab_size is 5" in refusal(lambda: speaking(own))


def test_a_vocoder_of_other_frames_is_refused(own: Path, tmp_path: Path) -> None:
    other = VOCODER.replace(mel=VOCODER.mel.replace(n_mels=80))
    write(tmp_path / "vocoder", "vocoder", Vocoder(other), other)
    message = refusal(lambda: speaking(own, vocoder=str(tmp_path / "vocoder")))
    assert "'n_mels': 80" in message and "'n_mels': 100" in message


# ---- weights ------------------------------------------------------------------------------------------------------


def damage_missing(weights: dict[str, Tensor]) -> None:
    del weights["transformer.out.weight"]


def damage_unknown(weights: dict[str, Tensor]) -> None:
    weights["transformer.extra"] = torch.zeros(1)


def damage_shape(weights: dict[str, Tensor]) -> None:
    weights["transformer.out.weight"] = torch.zeros(200, 31)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_missing, "missing transformer.out.weight"),
        (damage_unknown, "unknown transformer.extra"),
        (damage_shape, "transformer.out.weight is [200, 31], should be [200, 32]"),
    ],
)
def test_weights_that_do_not_fit_are_named(own: Path, damage: Any, named: str) -> None:
    path = own / "model.safetensors"
    weights = load_file(path)
    damage(weights)
    save_file(weights, path)
    message = refusal(lambda: speaking(own))
    assert named in message and str(path) in message


def test_many_misfits_are_counted(own: Path) -> None:
    save_file({"a": torch.zeros(1)}, own / "model.safetensors")
    message = refusal(lambda: speaking(own))
    assert " more" in message and len(message) < 500


@pytest.mark.parametrize("keep", [0, 4, 2000, -1])
def test_truncated_weights_are_refused(own: Path, keep: int) -> None:
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    message = refusal(lambda: speaking(own))
    assert str(path) in message and "truncated or damaged" in message


def test_missing_weights_are_refused(own: Path) -> None:
    (own / "model.safetensors").unlink()
    assert str(own / "model.safetensors") in refusal(lambda: speaking(own))


class Touch:
    """Unpickled, it makes a file: what a hostile checkpoint would do, harmlessly."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, save: Any) -> None:
    folder, trace = write_vocos(tmp_path / "vocos"), tmp_path / "trace"
    path = folder / "pytorch_model.bin"
    save({"head.out.weight": torch.zeros(2), "x": Touch(trace)}, path)
    message = refusal(lambda: load_vocoder(str(folder)))
    assert str(path) in message
    assert not trace.exists()


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.bin")
    assert "list" in refusal(lambda: read_weights(tmp_path / "a.bin"))
    folder = write_vocos(tmp_path / "vocos")
    torch.save({"head.out.weight": 3}, folder / "pytorch_model.bin")
    assert "missing" in refusal(lambda: load_vocoder(str(folder)))
    torch.save(torch.zeros(1), tmp_path / "a.bin")
    assert "Tensor" in refusal(lambda: read_weights(tmp_path / "a.bin"))
    (tmp_path / "a.bin").write_bytes(b"")
    assert str(tmp_path / "a.bin") in refusal(lambda: read_weights(tmp_path / "a.bin"))


# ---- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nanospeach", "", "a/b/c", "./nowhere", "https://example.org/x"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    message = refusal(lambda: load_system(name))
    assert repr(name) in message and "bundled" in message and "nanospeech" in message


def test_a_hub_name_without_a_connection_is_refused() -> None:
    assert "nobody/nothing" in refusal(lambda: load_system("nobody/nothing"))


def test_a_file_is_not_a_folder(own: Path) -> None:
    message = refusal(lambda: load_system(str(own / "model.safetensors")))
    assert "model.safetensors" in message and "folder" in message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(lambda: speaking(tmp_path))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backend": "tensorflow"}, "tensorflow"),
        ({"device": "toaster"}, "toaster"),
        ({"dtype": "int8"}, "int8"),
        ({"bits": 5}, "bits is 5; it must be 4 or 8"),
        ({"backend": "torch", "bits": 8}, "only the backend mlx has quantised weights"),
    ],
)
def test_a_wrong_option_is_refused_by_name(own: Path, options: dict[str, Any], named: str) -> None:
    assert named in refusal(lambda: load_system(str(own), **{"backend": "torch", **options}))


@pytest.mark.parametrize(
    ("system", "machine", "mlx", "expected"),
    [
        ("darwin", "arm64", True, "mlx"),
        ("darwin", "arm64", False, "torch"),
        ("darwin", "x86_64", True, "torch"),
        ("linux", "arm64", True, "torch"),
    ],
)
def test_auto_is_mlx_on_apple_silicon_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, mlx: bool, expected: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if mlx else None)
    assert choose_backend("auto") == expected
    assert choose_backend("torch") == "torch"


def test_a_backend_that_is_not_installed_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "mlx" or n.endswith("_mlx")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("checkpoints_mlx", "system_mlx", "vocoder_mlx", "mel_mlx", "speaker_mlx", "engines.nanospeech_mlx"):
        monkeypatch.delattr(f"vivavoce.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "mlx", None)
    assert "pip install vivavoce[mlx]" in refusal(lambda: load_system(str(own), "mlx"))


# ---- the published formats ----------------------------------------------------------------------------------------


def test_published_dimensions_are_read_from_the_tensors(published: Path) -> None:
    system = speaking_published(published)
    config, duration = system.model.config, system.duration.config
    assert (config.dim, config.depth, config.heads, config.head_dim, config.ff_mult) == (32, 2, 1, 64, 2)
    assert (config.text_dim, config.text_layers, config.vocab_size) == (16, 1, len(CHARACTERS))
    assert (duration.kind, duration.dim, duration.depth, duration.text_layers) == ("transformer", 32, 1, 0)
    assert (config.rotary, config.text_align, config.adaln) == ("first_head", "pad", "per_block")
    assert system.sampling.steps == 7 and system.uses_transcript
    assert system.vocoder.config.mel.floor == 1e-7


def test_every_published_tensor_finds_its_place(published: Path) -> None:
    saved = load_file(published / "model.safetensors")
    ours = speaking_published(published).model.state_dict()
    expected = sorted(t.sum().item() for n, t in saved.items() if not n.startswith("mel_spec."))
    assert sorted(t.sum().item() for t in ours.values()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_last_line_end_of_the_vocabulary_shifts_nothing(published: Path, ending: str) -> None:
    """Weights of either kind: the published loader gives the nothing after the last line end a row of its own."""
    write_published(published, vocabulary="\n".join(CHARACTERS) + ending)
    (published / "vocab.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    system = speaking_published(published)
    assert system.tokenizer.encode(" az'") == [0, 1, 26, 29]


def test_a_vocabulary_of_another_size_is_refused(published: Path) -> None:
    (published / "vocab.txt").write_text("\n".join(CHARACTERS + "é"), encoding="utf-8")
    message = refusal(lambda: speaking_published(published))
    assert str(published / "vocab.txt") in message and "31" in message and "30" in message


def test_a_duration_model_of_another_vocabulary_is_refused(published: Path) -> None:
    shapes = published_shapes(9, 32, 1, 1, 16, 0, duration=True)
    save_file(random_weights(shapes), published / "duration.safetensors")
    message = refusal(lambda: speaking_published(published))
    assert "30 characters" in message and "duration.safetensors has 8" in message


def test_another_models_tensors_are_refused_by_name(published: Path) -> None:
    shutil.copy(published / "duration.safetensors", published / "model.safetensors")
    message = refusal(lambda: speaking_published(published))
    assert str(published / "model.safetensors") in message and "transformer.out.weight" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backbone": {"class_path": "vocos.models.VocosResNetBackbone"}}, "VocosResNetBackbone"),
        ({"feature_extractor": {"class_path": "os.system"}}, "system"),
        ({"head": {"class_path": "vocos.heads.ISTFTHead", "init_args": {}}}, "n_fft"),
        ({"head": None}, "config"),
        ({"backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": {"dim": 16}}}, "intermediate_dim"),
    ],
)
def test_another_vocos_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    folder = write_vocos(tmp_path / "vocos")
    values = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, **changes}))
    message = refusal(lambda: load_vocoder(str(folder)))
    assert named in message and str(folder) in message


@pytest.mark.parametrize("text", ["", "just words", "a: [1\nb: {", "backbone: 3"])
def test_what_is_no_vocos_config_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_vocos(tmp_path / "vocos")
    (folder / "config.yaml").write_text(text)
    assert str(folder) in refusal(lambda: load_vocoder(str(folder)))


def test_a_vocos_folder_decodes_like_the_model_that_was_saved(tmp_path: Path) -> None:
    vocoder, mel = load_vocoder(str(write_vocos(tmp_path / "vocos"))), torch.randn(1, 9, 100)
    expected = randomised(Vocoder(VOCODER))(mel)
    assert torch.equal(vocoder(mel), expected) and expected.std() > 0


# ---- speaking -----------------------------------------------------------------------------------------------------


def job(text: str, voice: Voice, options: SpeakOptions = OPTIONS, seed: int = 1) -> Job:
    return Job(Piece(text, 0.0), voice, options, seed)


def spoken(system: Any, text: str, voice: Voice, options: SpeakOptions = OPTIONS, seed: int = 1) -> np.ndarray:
    """What a system of either backend makes of one text."""
    return system.waves([job(text, voice, options, seed)])[0].samples


def predicted(system: Any, text: str, voice: Voice, speed: float = 1.0) -> float:
    """Seconds."""
    return system.seconds([Piece(text, 0.0)], voice, speed)[0]


def seconds_of(wave: np.ndarray) -> float:
    return len(wave) / 24_000


@pytest.fixture(params=["own", "own, prompted", "published", "published without durations"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> NanospeechSystem:
    if request.param == "own":
        return speaking(write_own(tmp_path / "own"))
    if request.param == "own, prompted":
        return speaking(write_own(tmp_path / "own", MODEL.replace(audio_prompt=True)))
    write_vocos(tmp_path / "vocos")
    made = speaking_published(write_published(tmp_path / "published", duration=request.param == "published"))
    if request.param == "published":
        assert isinstance(made.duration, DurationTransformer)
        words = len("some call me nature ")  # random weights say any length: here 80 ms a character
        made.duration.predict = lambda mel, text, lengths: lengths / 93.75 + 0.08 * (text.shape[1] - words)  # type: ignore[method-assign]
    return made


def test_a_system_speaks_for_about_as_long_as_it_says(system: NanospeechSystem, voice: Voice) -> None:
    wave = spoken(system, TEXT, voice)
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert np.isfinite(wave).all() and wave.std() > 1e-5
    seconds = predicted(system, TEXT, voice)
    assert seconds > 0.5
    assert seconds_of(wave) == pytest.approx(seconds, abs=0.02)


def test_one_seed_one_reading(system: NanospeechSystem, voice: Voice) -> None:
    first, again, other = (spoken(system, TEXT, voice, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert len(first) == len(other) and not np.allclose(first, other, atol=1e-4)


def test_twice_the_speed_half_the_length(system: NanospeechSystem, voice: Voice) -> None:
    slow, fast = (spoken(system, TEXT, voice, OPTIONS.replace(speed=s)) for s in (1.0, 2.0))
    assert seconds_of(fast) == pytest.approx(seconds_of(slow) / 2, abs=0.02)
    assert predicted(system, TEXT, voice, 2.0) == pytest.approx(predicted(system, TEXT, voice) / 2)


def test_jobs_of_one_batch_are_made_as_one_by_one(system: NanospeechSystem, voice: Voice) -> None:
    """With voices, references, speeds and seeds of their own."""
    half = len(voice.samples) // 2
    other = Voice("other", 0.5 * voice.samples[:half], "call me", np.eye(8, dtype=np.float32)[3])
    jobs = [
        job(TEXT, voice),
        job("me too.", other, OPTIONS.replace(speed=1.5), seed=2),
        job("call me a friend of nature, and of others.", other, OPTIONS.replace(speed=0.7), seed=3),
    ]
    for one, made in zip(jobs, system.waves(jobs), strict=True):
        (single,) = system.waves([one])
        assert len(single.samples) == len(made.samples)
        assert np.abs(single.samples - made.samples).max() < 1e-4
        assert (single.ends is None) == (made.ends is None)
        if single.ends is not None and made.ends is not None:
            assert made.ends == pytest.approx(single.ends, abs=1e-4)


@pytest.mark.parametrize("change", [{"steps": 3}, {"method": "midpoint"}, {"cfg": 0.0}, {"sway_coef": 0.0}])
def test_what_a_batch_has_in_common_may_not_differ(own: Path, voice: Voice, change: dict[str, Any]) -> None:
    jobs = [job(TEXT, voice), job(TEXT, voice, OPTIONS.replace(**change))]
    message = refusal(lambda: speaking(own).waves(jobs))
    (name,) = change
    assert f"{name} {getattr(OPTIONS, name)} and {change[name]}" in message


def test_a_language_and_an_option_that_the_model_lacks_are_refused(own: Path, voice: Voice) -> None:
    system = speaking(own)
    french = Job(Piece("me too.", 0.0, (("en", 3), ("fr", 4))), voice, OPTIONS, 1)
    assert "'fr'" in refusal(lambda: system.waves([french])) and system.languages == ("en",)
    assert "top_k is 5" in refusal(lambda: spoken(system, TEXT, voice, OPTIONS.replace(top_k=5)))


def test_characters_end_one_after_another_until_the_end(own: Path, voice: Voice) -> None:
    system = speaking(own)
    (made,) = system.waves([job(TEXT, voice)])
    assert made.ends is not None and made.ends.dtype == np.float32 and made.ends.shape == (len(TEXT),)
    assert 0 < made.start < made.ends[0] and (np.diff(made.ends) > 0).all()
    # the silence at both ends belongs to a space, which is no character of the text
    assert made.ends[-1] < seconds_of(made.samples)
    (slow,) = system.waves([job(TEXT, voice, OPTIONS.replace(speed=0.5))])
    assert slow.ends == pytest.approx(2 * made.ends, abs=0.05)
    (spaced,) = system.waves([job(f" {TEXT}", voice)])
    assert spaced.ends is not None and spaced.ends[1:] == pytest.approx(made.ends, abs=1e-4)


def test_a_model_without_durations_of_characters_tells_no_times(published: Path, voice: Voice) -> None:
    system = speaking_published(published)
    assert isinstance(system.duration, DurationTransformer)
    assert system._timed(np.zeros(9, np.float32), TEXT, np.ones(1)).ends is None


def test_a_temperature_of_0_leaves_nothing_to_the_seed(own: Path, voice: Voice) -> None:
    plain = OPTIONS.replace(temperature=0.0)
    first, other = (spoken(speaking(own), TEXT, voice, plain, seed) for seed in (1, 2))
    assert np.array_equal(first, other)
    assert not np.array_equal(first, spoken(speaking(own), TEXT, voice))


def test_longer_text_takes_longer(system: NanospeechSystem, voice: Voice) -> None:
    short, long = system.seconds([Piece("me too.", 0.0), Piece(TEXT, 0.0)], voice, 1.0)
    assert long > 2 * short


def test_progress_ends_at_1(system: NanospeechSystem, voice: Voice) -> None:
    told: list[float] = []
    system.waves([job(TEXT, voice)], told.append)
    assert told == [0.5, 1.0]


def test_a_text_beyond_the_models_reach_is_refused(system: NanospeechSystem, voice: Voice) -> None:
    assert "43.7 s" in refusal(lambda: spoken(system, "me too. " * 200, voice))


def test_a_model_that_continues_a_recording_needs_its_words(published: Path, own: Path, voice: Voice) -> None:
    unknown = Voice("stranger", voice.samples, None, voice.embedding)
    message = refusal(lambda: spoken(speaking_published(published), TEXT, unknown))
    assert "'stranger'" in message and "transcript" in message
    assert len(spoken(speaking(own), TEXT, unknown)) > 0


def test_the_characters_of_the_reference_get_its_frames(tmp_path: Path, voice: Voice) -> None:
    """A prompted model that stretches its text: reference words over reference frames, at any speed."""
    system = speaking(write_own(tmp_path / "own", MODEL.replace(audio_prompt=True)))
    given: list[tuple[Tensor, Tensor]] = []
    sample = system.model.sample

    def noted(noise: Tensor, text: Tensor, lengths: Tensor, **options: Any) -> Tensor:
        given.append((options["durations"], lengths))
        return sample(noise, text, lengths, **options)

    system.model.sample = noted  # type: ignore[method-assign]
    for speed in (1.0, 2.0):
        spoken(system, TEXT, voice, OPTIONS.replace(speed=speed))
    reference = len("some call me nature ")
    for durations, lengths in given:
        assert durations.shape[1] == reference + len(TEXT)
        assert durations[0, :reference].sum().item() == pytest.approx(24_000 // 256 + 1, rel=1e-4)
        assert durations.sum().item() == pytest.approx(lengths.item(), abs=1)
    assert torch.allclose(given[0][0][0, reference:], 2 * given[1][0][0, reference:])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_speaks_about_the_same(own: Path, voice: Voice, dtype: str) -> None:
    exact, half = (spoken(speaking(own, dtype=d), TEXT, voice) for d in ("float32", dtype))
    assert half.dtype == np.float32 and len(half) == len(exact)
    assert np.corrcoef(exact, half)[0, 1] > 0.95


def test_copy_synthesis_keeps_the_length(own: Path, voice: Voice) -> None:
    wave = speaking(own).copy_synthesis(voice.samples)
    assert abs(len(wave) - len(voice.samples)) < 256 and np.isfinite(wave).all()
