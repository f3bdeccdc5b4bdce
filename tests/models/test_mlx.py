"""MLX against PyTorch: equal weights and noise give equal results, in every configuration of the engine.

Skipped where MLX is missing, except with VIVAVOCE_REQUIRE_MLX=1, as in CI. On Linux MLX computes on the CPU. One file
of more than 500 lines, so that the condition and the tolerances stand once.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.nanospeech import CONFIGS, EVERY_CONFIG, TINY, M, alone, batch, characters, randomised, sampled
from helpers.published import (
    CHARACTERS,
    DURATION,
    MODEL,
    OPTIONS,
    TEXT,
    job,
    published_shapes,
    random_weights,
    spoken,
    write_own,
    write_published,
    write_vocos,
)
from safetensors.torch import save_file
from torch import Tensor

from vivavoce import audio
from vivavoce.config import MelConfig, SpeakOptions
from vivavoce.models import nanospeech_torch, solvers
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.speaker_torch import load_speaker_encoder
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.systems.load import load_system
from vivavoce.voices import Voice, get

if os.environ.get("VIVAVOCE_REQUIRE_MLX") != "1":
    pytest.importorskip("mlx.core", reason="MLX is missing: pip install vivavoce[mlx]", exc_type=ImportError)

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from vivavoce.checkpoints import weights_mlx
from vivavoce.models import mel_mlx, nanospeech_mlx, speaker_mlx, vocoder_mlx

torch.set_num_threads(1)

CODES = VocoderConfig(
    input="codes", dim=24, intermediate_dim=48, num_layers=2, padding="same", n_fft=128, hop=48,
    codebooks=4, codebook_size=16, codebook_dim=12, bandwidths=(1.5, 3.0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def given(value: Any) -> Any:
    """PyTorch's tensors as MLX's arrays, in whatever holds them."""
    if isinstance(value, dict):
        return {name: given(v) for name, v in value.items()}
    return mx.array(value.numpy()) if isinstance(value, Tensor) else value


def twin(model: torch.nn.Module, made: Any) -> Any:
    """`made`, an MLX model, with the weights of a PyTorch one."""
    return weights_mlx.fill(made, given(dict(model.state_dict())), Path("shared"))


def gap(made: Any, expected: Any) -> float:
    """The largest difference between MLX's numbers and PyTorch's."""
    ours, theirs = np.array(made), expected.detach().numpy() if isinstance(expected, Tensor) else np.array(expected)
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all() and (ours.size == 1 or ours.std() > 1e-3), "a constant would agree with anything"
    return float(np.abs(ours - theirs).max())


def pair(config: NanospeechConfig) -> tuple[nanospeech_torch.Nanospeech, nanospeech_mlx.Nanospeech]:
    model = randomised(nanospeech_torch.Nanospeech(config))
    return model, twin(model, nanospeech_mlx.Nanospeech(config))


# ---- front end, vocoder, speaker ----------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [513, 4095, 4096, 6000])
@pytest.mark.parametrize(
    "config", [MelConfig(), MelConfig(floor=1e-7), MelConfig(sample_rate=16_000, n_fft=400, hop=160, n_mels=40)]
)
def test_log_mels_agree(config: MelConfig, samples: int) -> None:
    wave = 0.3 * torch.randn(2, samples)
    wave[1] *= torch.logspace(0, -6, samples)  # down to the floor
    assert gap(mel_mlx.LogMel(config)(given(wave)), LogMel(config)(wave)) < 1e-4


@pytest.mark.parametrize("shape", [(1, 512), (4096,)])
def test_what_is_no_waveform_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="more than 512 samples"):
        mel_mlx.LogMel(MelConfig())(mx.zeros(shape))


@pytest.mark.parametrize("padding", ["center", "same"])
@pytest.mark.parametrize("hop", [256, 300])
def test_vocoders_of_mels_agree(padding: Any, hop: int) -> None:
    config = VocoderConfig(mel=MelConfig(hop=hop), hop=hop, padding=padding, dim=24, intermediate_dim=48, num_layers=2)
    model, mel = randomised(Vocoder(config)), 2 * torch.randn(2, 20, 100) - 4
    assert gap(twin(model, vocoder_mlx.Vocoder(config))(given(mel)), model(mel)) < 1e-3


def test_vocoders_with_harmonics_agree_for_as_long_as_a_paragraph() -> None:
    config = VocoderConfig(
        dim=24, intermediate_dim=48, num_layers=2, harmonic_bins=64, harmonic_dim=16, harmonic_layers=1
    )
    model, mel = randomised(Vocoder(config)), 2 * torch.randn(1, 2000, 100) - 4
    with torch.no_grad():  # a steady pitch, for one that lies between two harmonics of a bin may fall to either
        model.harmonics.out.weight[0] = 0
    assert gap(twin(model, vocoder_mlx.Vocoder(config))(given(mel)), model(mel)) < 1e-3


@pytest.mark.parametrize("bandwidth", CODES.bandwidths)
def test_vocoders_of_codes_agree(bandwidth: float) -> None:
    model, codes = randomised(Vocoder(CODES)), torch.randint(0, 16, (2, 3, 25))
    made = twin(model, vocoder_mlx.Vocoder(CODES))
    assert gap(made.decode_codes(given(codes), bandwidth), model.decode_codes(codes, bandwidth)) < 1e-3
    with pytest.raises(ValueError, match=r"bandwidth 24.*1\.5, 3\.0"):
        made.decode_codes(given(codes), 24)


def test_speaker_vectors_agree() -> None:
    voice = get("orion")
    samples = voice.samples[: 2 * voice.sample_rate]
    made = speaker_mlx.load_speaker_encoder().embed(samples, voice.sample_rate)
    assert made.dtype == np.float32 and np.linalg.norm(made) == pytest.approx(1)
    assert gap(made, load_speaker_encoder().embed(samples, voice.sample_rate)) < 1e-4


def test_a_speaker_encoder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"model\.safetensors: no such file"):
        speaker_mlx.load_speaker_encoder(tmp_path)
    weights_mlx.save_weights(nn.Linear(2, 2), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: not this encoder's weights"):
        speaker_mlx.load_speaker_encoder(tmp_path)


# ---- the transformer and its samples ------------------------------------------------------------------------------


@EVERY_CONFIG
def test_one_pass_of_the_transformer_agrees(config: NanospeechConfig) -> None:
    model, made = pair(config)
    items = batch(config)
    inside = items.pop("prompt_lengths", None)
    arguments = {"x": items.pop("noise"), "time": torch.tensor([0.1, 0.5, 0.9]), **items}
    if inside is not None:
        known = nanospeech_torch.length_mask(inside, 15)[..., None]
        arguments["prompt"] = torch.nn.functional.pad(items["prompt"] * known, (0, 0, 0, 37 - 15))
    arguments |= {"keep_text": torch.tensor([1, 0, 1]), "keep_voice": torch.tensor([1, 1, 0])}
    with torch.inference_mode():
        expected = model.transformer(**arguments)
    assert gap(made.transformer(**given(arguments)), expected) < 1e-4


@pytest.mark.parametrize(("method", "cfg"), [("euler", 0.0), ("euler", 2.0), ("midpoint", 2.0), ("rk4", 2.0)])
@EVERY_CONFIG
def test_samples_agree(config: NanospeechConfig, method: str, cfg: float) -> None:
    model, made = pair(config)
    items, options = batch(config), {"method": method, "cfg": cfg, "times": solvers.schedule(3, -1.0)}
    expected = sampled(model, items, **options)
    assert gap(made.sample(**given(items), **options), expected) < 1e-3


@EVERY_CONFIG
def test_each_item_of_a_batch_gets_what_it_gets_alone(config: NanospeechConfig) -> None:
    _, made = pair(config)
    items, options = batch(config), {"cfg": 2.0, "times": solvers.schedule(2)}
    together = np.array(made.sample(**given(items), **options))
    for i, length in enumerate(items["lengths"].tolist()):
        assert gap(made.sample(**given(alone(items, i)), **options), together[i : i + 1, :length]) < 1e-4


def test_a_reference_as_long_as_its_speech_is_refused() -> None:
    _, made = pair(TINY)
    items = given(batch(TINY)) | {"prompt_lengths": mx.array([11, 15, 13])}
    with pytest.raises(ValueError, match=r"\[11, 15, 13\] frames in speech of \[24, 37, 13\]"):
        made.sample(**items, times=[0.0, 1.0])


def test_progress_is_reported_after_each_step() -> None:
    _, made = pair(TINY)
    reported: list[float] = []
    made.sample(**given(batch(TINY)), times=solvers.schedule(4), progress=reported.append)
    assert reported == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.slow
def test_the_published_dimensions_agree(tmp_path: Path) -> None:
    """82 M parameters in the published layout."""
    folder, rows = tmp_path / "published", len(CHARACTERS) + 1
    folder.mkdir()
    shapes = published_shapes(rows, 512, 18, 12, 512, 4, duration=False)
    save_file(random_weights(shapes), folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(CHARACTERS), encoding="utf-8")
    vocos = str(write_vocos(tmp_path / "vocos"))
    systems: list[Any] = [load_system(str(folder), backend, "cpu", vocoder=vocos) for backend in ("torch", "mlx")]
    assert 80e6 < sum(p.numel() for p in systems[0].model.parameters()) < 84e6
    items = {
        "noise": torch.randn(1, 30, 100),
        "text": torch.randint(0, 20, (1, 12)),
        "lengths": torch.tensor([30]),
        "prompt": torch.randn(1, 10, 100) - 4,
    }
    options: dict[str, Any] = {"cfg": 2.0, "times": solvers.schedule(2, -1.0)}
    assert gap(systems[1].model.sample(**given(items), **options), systems[0].model.sample(**items, **options)) < 1e-3


# ---- durations ----------------------------------------------------------------------------------------------------


def duration_pair(kind: Any) -> tuple[Any, Any]:
    config = DurationConfig(
        mel=MelConfig(n_mels=M), kind=kind, vocab_size=11, dim=32, depth=2, heads=2, head_dim=16, text_dim=24,
        text_layers=1, speaker_dim=6 if kind == "characters" else 0,
    )  # fmt: skip
    model = randomised(nanospeech_torch.duration_model(config))
    return model, twin(model, nanospeech_mlx.duration_model(config))


def test_durations_of_characters_agree() -> None:
    model, made = duration_pair("characters")
    text, speaker = characters(6, 17, 9), torch.randn(3, 6)
    assert gap(made.predict(given(text), given(speaker)), model.predict(text, speaker)) < 1e-4
    spans = (torch.arange(17) // 4).expand(3, -1)
    frames = torch.tensor([[9.0, 4.0, -1, -1, -1], [3.0, 0.0, 7.0, 2.0, 1.0], [5.0, 5.0, 2.0, -1, -1]])
    expected = model.loss(text, spans, frames, speaker=speaker)
    assert gap(made(given(text), given(spans), given(frames), speaker=given(speaker)), expected) < 1e-4


def test_seconds_of_the_duration_transformer_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = duration_pair("transformer")
    mel, text, lengths = torch.randn(3, 37, M) - 4, characters(6, 17, 9), torch.tensor([24, 37, 13])
    arguments = (mel, text, lengths)
    assert gap(made.predict(*map(given, arguments)), model.predict(*arguments)) < 1e-4
    monkeypatch.setattr(torch, "rand", lambda size, **_: torch.full((size,), 0.4))
    monkeypatch.setattr(mx.random, "uniform", lambda shape: mx.full(shape, 0.4))
    assert gap(made(*map(given, arguments)), model(*arguments)) < 1e-4


# ---- training -----------------------------------------------------------------------------------------------------


def training_batch(config: NanospeechConfig) -> dict[str, Any]:
    items = batch(config)
    noise = items.pop("noise")
    for name in ("prompt", "prompt_lengths"):
        items.pop(name, None)
    return {"mel": torch.randn(3, 37, M) - 4, "noise": noise, "time": torch.tensor([0.1, 0.5, 0.9]), **items}


def compare_training(config: NanospeechConfig, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """The loss and the gradients of all weights, with the same drops and hidden spans on both sides."""
    model, made = pair(config)
    teachers: tuple[dict[str, Any], ...] = ({}, {})
    if settings.pop("taught", False):
        teachers = tuple({"teacher": teacher} for teacher in pair(config))
    arguments = training_batch(config) | settings
    monkeypatch.setattr(torch, "rand", lambda size, **_: torch.linspace(0.05, 0.9, np.prod(size)).reshape(size))

    def uniform(shape: tuple[int, ...]) -> mx.array:
        return mx.linspace(0.05, 0.9, int(np.prod(shape))).reshape(shape)

    monkeypatch.setattr(mx.random, "uniform", uniform)
    expected = model(**arguments, **teachers[0])
    expected.backward()
    made.unfreeze()
    loss, gradients = nn.value_and_grad(made, lambda **items: made(**items, **teachers[1]))(**given(arguments))
    assert expected.item() > 0.1
    assert gap(loss, expected) < 1e-4
    theirs = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    ours = weights_mlx.swap_layout(dict(tree_flatten(gradients)))
    assert len(theirs) > 50
    for name, gradient in theirs.items():
        assert np.abs(np.array(ours[name]) - gradient).max() < 1e-4 * max(1, np.abs(gradient).max()), name


@EVERY_CONFIG
def test_the_loss_and_all_its_gradients_agree(config: NanospeechConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_training(config, monkeypatch)


@pytest.mark.parametrize("taught", [False, True])
def test_the_loss_with_guidance_agrees(taught: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TINY.replace(audio_prompt=False, speaker_dim=6)
    compare_training(config, monkeypatch, taught=taught, guidance=2.0, drop=0.4)


def test_the_imitation_of_the_text_by_the_codes_agrees() -> None:
    model, made = pair(CONFIGS["codes"])
    items = batch(CONFIGS["codes"])
    of_text = {name: items[name] for name in ("durations", "languages", "phones") if name in items}
    expected = model.imitation(items["text"], items["lengths"], items["codes"], **of_text)
    ours = made.imitation(*(mx.array(items[name].numpy()) for name in ("text", "lengths", "codes")), **given(of_text))
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_channel_without_energy_has_a_gradient() -> None:
    norm = nanospeech_mlx.GlobalResponseNorm(2)
    x = mx.array([[[1.0, 0.0], [2.0, 0.0]]])
    gradient = mx.grad(lambda x: norm(x, mx.ones((1, 2, 1))).sum())(x)
    assert np.isfinite(np.array(gradient)).all()


def test_a_model_can_be_finetuned(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example learns two short recordings, and both backends load what it writes."""
    data, out = tmp_path / "data", tmp_path / "mine"
    data.mkdir()
    model = write_own(tmp_path / "own", MODEL.replace(speaker_dim=256), DURATION.replace(speaker_dim=256))
    for name in ("nash", "luna"):
        voice = get(name)
        audio.write(data / f"{name}.wav", voice.samples[:30_000])
        (data / f"{name}.txt").write_text("good morning to you.", encoding="utf-8")
    arguments = [str(data), str(out), "--model", str(model), "--steps", "3", "--batch", "2"]
    monkeypatch.setattr(sys, "argv", ["finetune_mlx.py", *arguments])
    runpy.run_path(str(root / "examples" / "finetune_mlx.py"), run_name="__main__")
    before, after = (load_system(str(m), "torch", "cpu") for m in (model, out))
    name = "transformer.blocks.0.attention.query.weight"
    moved = (after.model.state_dict()[name] - before.model.state_dict()[name]).abs().max().item()
    assert 1e-6 < moved < 0.1
    waves = [spoken(load_system(str(out), b, "cpu"), TEXT, get("nash")) for b in ("torch", "mlx")]
    assert gap(waves[1], waves[0]) < 1e-3


# ---- whole systems ------------------------------------------------------------------------------------------------

VOICE = Voice(
    "tester",
    (0.2 * np.sin(np.arange(24_000) / 20)).astype(np.float32),
    "some call me nature",
    np.eye(8, dtype=np.float32)[0],
)
PROMPTED = MODEL.replace(audio_prompt=True, adaln="per_block")


@pytest.fixture(params=["own", "own, prompted", "published", "published without durations"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """A model's folder and its vocoder's."""
    if request.param.startswith("own"):
        config = MODEL if request.param == "own" else PROMPTED
        return str(write_own(tmp_path / "own", config)), None
    write_published(tmp_path / "published", duration="without" not in request.param)
    return str(tmp_path / "published"), str(write_vocos(tmp_path / "vocos"))


def test_one_seed_speaks_the_same_on_both(folder: tuple[str, str | None]) -> None:
    other = Voice("other", VOICE.samples[:9_000], "call me", np.eye(8, dtype=np.float32)[1])
    jobs = [job(TEXT, VOICE, seed=3), job("me nature.", other, OPTIONS.replace(speed=1.3), seed=4)]
    systems = [load_system(folder[0], backend, "cpu", vocoder=folder[1]) for backend in ("torch", "mlx")]
    seconds = [s.predict_durations([one.piece for one in jobs], VOICE, 1.3) for s in systems]
    assert seconds[1] == pytest.approx(seconds[0], rel=1e-4)
    for expected, made in zip(*(s.synthesize(jobs) for s in systems), strict=True):
        assert made.samples.dtype == np.float32
        assert gap(made.samples, expected.samples) < 1e-3
        assert made.start == pytest.approx(expected.start, abs=1e-4)
        assert (made.ends is None) == (expected.ends is None)
        assert made.ends is None or made.ends == pytest.approx(expected.ends, abs=1e-4)


def test_the_bundled_model_speaks_the_same_on_both() -> None:
    options = SpeakOptions(steps=2, method="euler", cfg=3.0, sway_coef=-1.0)
    systems = [load_system("bundled", backend, "cpu") for backend in ("torch", "mlx")]
    expected, made = (spoken(s, "hi.", get("nash"), options) for s in systems)
    assert np.abs(expected).max() > 0.05
    assert gap(made, expected) < 1e-3
    expected, made = (s.copy_synthesis(get("luna").samples[:6_000]) for s in systems)
    assert gap(made, expected) < 1e-3


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A small model in our format whose layers are wide enough to be quantised."""
    config = MODEL.replace(dim=64, heads=2, head_dim=32, text_dim=64)
    return write_own(tmp_path / "own", config)


def wave(model: Path, **settings: Any) -> np.ndarray:
    return spoken(load_system(str(model), "mlx", "cpu", **settings), "me.", VOICE)


@pytest.mark.parametrize(
    ("settings", "nearness"),
    [
        ({"bits": 8}, 0.99),
        ({"bits": 4}, 0.5),
        ({"dtype": "float16"}, 0.99),
        ({"dtype": "bfloat16"}, 0.9),
        ({"bits": 8, "dtype": "float16"}, 0.98),
    ],
)
def test_less_precise_weights_say_nearly_the_same(own: Path, settings: dict[str, Any], nearness: float) -> None:
    exact, rough = wave(own), wave(own, **settings)
    assert exact.shape == rough.shape and np.isfinite(rough).all()
    assert not np.array_equal(exact, rough)
    assert np.corrcoef(exact, rough)[0, 1] > nearness


def test_quantised_weights_take_less_memory(own: Path) -> None:
    sizes = [
        sum(w.nbytes for _, w in tree_flatten(load_system(str(own), "mlx", "cpu", bits=b).model.parameters()))
        for b in (None, 8, 4)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.slow  # on a CPU, MLX calls the C++ compiler for every kernel
def test_compiled_says_the_same(own: Path) -> None:
    assert gap(wave(own, compile=True), wave(own)) < 1e-3


def test_a_system_speaks_from_any_thread(own: Path) -> None:
    system, made = load_system(str(own), "mlx", "cpu"), []
    thread = threading.Thread(target=lambda: made.append(spoken(system, "me.", VOICE)))
    thread.start()
    thread.join()
    assert made and np.array_equal(made[0], wave(own))


def test_speaking_with_mlx_does_not_load_torch(tmp_path: Path, root: Path) -> None:
    """Not even for the speaker vector of a recording."""
    audio.write(tmp_path / "me.wav", get("nash").samples[:30_000])
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from vivavoce.cli import speak, terminal\n"
        "status = terminal.run(speak.app, sys.argv[1:])\n"
        "assert 'mlx' in sys.modules and 'torch' not in sys.modules\n"
        "sys.exit(status)"
    )
    flags = "Hi. --backend mlx --device cpu --ref-audio me.wav --steps 1 --cfg 0 --seed 1 -o hi.wav".split()
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert audio.read(tmp_path / "hi.wav").std() > 0.01


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"backend": "torch", "bits": 8}, "bits is 8.*mlx"),
        ({"backend": "mlx", "bits": 5}, "bits is 5; it must be 4 or 8"),
        ({"backend": "mlx", "device": "toaster"}, "toaster"),
        ({"backend": "mlx", "device": "cpu:7"}, "cpu:7"),
        ({"backend": "mlx", "dtype": "int8"}, "int8"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(own: Path, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        load_system(str(own), **settings)


def test_a_device_that_is_not_here_is_refused(own: Path) -> None:
    missing = "mps" if not mx.metal.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"{missing}.*finds none here; it must be auto"):
        load_system(str(own), "mlx", missing)


def test_weights_that_do_not_fit_are_named(own: Path) -> None:
    config = json.loads((own / "config.json").read_text())
    config["model"]["depth"] = 3
    (own / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model\.safetensors.*missing transformer\.blocks\.2.*more"):
        load_system(str(own), "mlx", "cpu")


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_truncated_weights_are_refused(own: Path, keep: int) -> None:
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: unreadable weights"):
        load_system(str(own), "mlx", "cpu")


def test_a_model_that_went_wrong_is_not_saved(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    layer.weight = mx.full((2, 2), 1e6)
    with pytest.raises(ValueError, match="weight does not fit into float16"):
        weights_mlx.save_weights(layer, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_pickle_of_more_than_tensors_is_refused_by_name(tmp_path: Path) -> None:
    vocos = write_vocos(tmp_path / "vocos")
    weights = torch.load(vocos / "pytorch_model.bin", weights_only=True) | {"head.out.bias": "nothing"}
    torch.save(weights, vocos / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: head\.out\.bias is a str, not a tensor"):
        weights_mlx.load_vocoder(str(vocos))


def test_a_published_vocoder_without_torch_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocos = write_vocos(tmp_path / "vocos")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "vivavoce.checkpoints.pickle_torch", raising=False)
    monkeypatch.delattr("vivavoce.checkpoints.pickle_torch", raising=False)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: only PyTorch reads this file.*torch is missing"):
        weights_mlx.load_vocoder(str(vocos))
