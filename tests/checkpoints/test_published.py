"""The published nanospeech and Vocos packages beside ours: same files and noise in, same numbers out.

Needs both packages, which the toolkit itself never does; skipped where they are missing. Weights are random, in the
layout that the published classes save, so that every tensor counts (their output projection starts at zero).
The second half shows where the published code errs and ours must not follow it.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.config import MelConfig, SpeakOptions
from vivavoce.models import solvers
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.nanospeech_torch import DurationTransformer
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.load import load_system
from vivavoce.systems.nanospeech_torch import NanospeechSystem
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

MISSING = "the published packages are missing: pip install --no-deps nanospeech==0.0.6 vocos encodec torchaudio"
theirs = pytest.importorskip("nanospeech.nanospeech_torch", reason=MISSING, exc_type=ImportError)
vocos = pytest.importorskip("vocos", reason=MISSING, exc_type=ImportError)

torch.set_num_threads(1)

CHARACTERS = " abcdefghijklmnopqrstuvwxyz,.'"
PROMPT_TEXT, TEXT = "some call me nature", "others call me mother nature."
SMALL = {"dim": 64, "depth": 3, "heads": 3, "text_dim": 32, "ff_mult": 2, "conv_layers": 2}
SMALL_DURATION = {"dim": 48, "depth": 2, "heads": 2, "text_dim": 24, "ff_mult": 2, "conv_layers": 0}
TRUE = {"dim": 512, "depth": 18, "heads": 12, "text_dim": 512, "ff_mult": 2, "conv_layers": 4}
TRUE_DURATION = {"dim": 512, "depth": 12, "heads": 8, "text_dim": 512, "ff_mult": 2, "conv_layers": 0}


def randomise(model: nn.Module, seed: int) -> None:
    """Every parameter random, scaled so that values stay near 1 from layer to layer."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=draw)
            if "text_embed.text_embed" in name or "codebook" in name:
                p.copy_(noise)
            elif p.ndim > 1 and ".grn." not in name:
                p.copy_(noise / p[0].numel() ** 0.5)
            else:
                p.copy_((1 if "norm" in name and name.endswith("weight") else 0) + 0.1 * noise)


def write_nanospeech(folder: Path, sizes: dict[str, int], duration_sizes: dict[str, int]) -> Any:
    """A published model folder with random weights; returns the published model, its duration model attached."""
    folder.mkdir()
    model = theirs.Nanospeech(transformer=theirs.DiT(text_num_embeds=len(CHARACTERS), **sizes))
    randomise(model, 1)
    duration = theirs.DurationPredictor(
        transformer=theirs.DurationTransformer(text_num_embeds=len(CHARACTERS), **duration_sizes)
    )
    randomise(duration, 2)
    save_file(model.state_dict(), folder / "model.safetensors")
    save_file(duration.state_dict(), folder / "duration.safetensors")
    (folder / "vocab.txt").write_text("\n".join(CHARACTERS), encoding="utf-8")
    model._duration_predictor = duration.eval()
    return model.eval()


def vocos_config(features: dict[str, Any], backbone: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    kind = "EncodecFeatures" if "encodec_model" in features else "MelSpectrogramFeatures"
    return {
        "feature_extractor": {"class_path": f"vocos.feature_extractors.{kind}", "init_args": features},
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": backbone},
        "head": {"class_path": "vocos.heads.ISTFTHead", "init_args": head},
    }


def write_vocos(folder: Path, config: dict[str, Any]) -> Any:
    """A published Vocos folder with random weights; returns the published model."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    model = vocos.Vocos.from_hparams(str(folder / "config.yaml"))
    randomise(model.backbone, 3)
    randomise(model.head, 4)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("feature_extractor.encodec.")}
    torch.save(state, folder / "pytorch_model.bin")
    return model.eval()


MEL_VOCOS = vocos_config(
    {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    {"input_channels": 100, "dim": 48, "intermediate_dim": 96, "num_layers": 3},
    {"dim": 48, "n_fft": 1024, "hop_length": 256, "padding": "center"},
)


class Pair:
    """The published model and ours, from the same files."""

    def __init__(self, folder: Path):
        self.folder = folder / "nanospeech"
        self.model = write_nanospeech(self.folder, SMALL, SMALL_DURATION)
        self.vocos = write_vocos(folder / "vocos", MEL_VOCOS)
        self.system: NanospeechSystem = load_system(str(self.folder), device="cpu", vocoder=str(folder / "vocos"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("published"))


def ids(*texts: str) -> Tensor:
    return theirs.list_str_to_vocab_tensor(list(texts), {c: i for i, c in enumerate(CHARACTERS)})


def mels(frames: int, seed: int = 0) -> Tensor:
    """Frames like a real reference's, log magnitudes around -4 [1, N, 100]."""
    return 2 * torch.randn(1, frames, 100, generator=torch.Generator().manual_seed(seed)) - 4


def draw(frames: int, seed: int) -> Tensor:
    """The noise that the published `sample` draws [N, 100]."""
    return torch.randn(frames, 100, generator=torch.Generator().manual_seed(seed))


def gap(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    assert torch.isfinite(a).all() and a.std() > 1e-3, "a constant would agree with anything"
    return float((a - b).abs().max())


def voice(seconds: float = 1.0, transcript: str = PROMPT_TEXT) -> Voice:
    time = np.arange(round(24_000 * seconds)) / 24_000
    tone = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(6 * time)) * time) * (1 + np.sin(20 * time)) / 2
    return Voice("tester", tone.astype(np.float32), transcript)


OPTIONS = SpeakOptions(steps=2, method="euler", cfg=2.0, sway_coef=-1.0)


def spoken(system: NanospeechSystem, voice: Voice, seed: int = 1, speed: float = 1.0) -> np.ndarray:
    return system.synthesize([SynthesisRequest(Piece(TEXT, 0.0), voice, OPTIONS.replace(speed=speed), seed)])[0].samples


# ---- agreement ----------------------------------------------------------------------------------------------------


def test_our_config_is_read_from_the_published_tensors(pair: Pair) -> None:
    config, duration = pair.system.model.config, pair.system.duration.config
    assert (config.dim, config.depth, config.heads, config.head_dim) == (64, 3, 3, 64)
    assert (config.text_dim, config.text_layers, config.ff_mult, config.vocab_size) == (32, 2, 2, len(CHARACTERS))
    assert (config.mel.n_mels, config.rotary, config.text_align, config.patch) == (100, "first_head", "pad", 1)
    assert (duration.dim, duration.depth, duration.heads, duration.text_dim) == (48, 2, 2, 24)
    assert duration.kind == "transformer"


@pytest.mark.parametrize("dropped", [False, True])
def test_one_pass_of_the_transformer_agrees(pair: Pair, dropped: bool) -> None:
    x, prompt, text = torch.randn(1, 70, 100), mels(70), ids(f"{PROMPT_TEXT} {TEXT}")
    keep = torch.tensor([not dropped])
    with torch.inference_mode():
        expected = pair.model.transformer(
            x=x, cond=prompt, text=text, time=torch.tensor([0.3]), drop_audio_cond=dropped, drop_text=dropped
        )
        made = pair.system.model.transformer(
            x, torch.tensor([0.3]), text, torch.tensor([70]), prompt=prompt, keep_text=keep, keep_voice=keep
        )
    assert gap(made, expected) < 1e-4


CASES = list(itertools.product(("euler", "midpoint", "rk4"), (0.0, 2.0), (None, -1.0)))


@pytest.mark.parametrize(("method", "cfg", "sway"), CASES)
def test_sampling_agrees(pair: Pair, method: str, cfg: float, sway: float | None) -> None:
    prompt, text, frames = mels(60), ids(f"{PROMPT_TEXT} {TEXT}"), 100
    out, trajectory = pair.model.sample(
        prompt, text, frames, steps=4, ode_method=method, cfg_strength=cfg, sway_sampling_coef=sway, seed=7
    )
    made = pair.system.model.sample(
        draw(frames, 7)[None],
        text,
        torch.tensor([frames]),
        times=solvers.schedule(3, sway or 0.0),  # their 4 are points
        method=method,
        cfg=cfg,
        prompt=prompt,
    )
    assert gap(made, trajectory[-1]) < 1e-4
    assert gap(made[0, 60:], out) < 1e-4


@pytest.mark.parametrize("frames", [60, 200])
def test_predicted_seconds_agree(pair: Pair, frames: int) -> None:
    mel, text = mels(frames, seed=frames), ids(f"{PROMPT_TEXT} {TEXT}")
    with torch.inference_mode():
        expected = pair.model._duration_predictor(mel, text)
        assert isinstance(pair.system.duration, DurationTransformer)
        made = pair.system.duration.predict(mel, text, torch.tensor([frames]))
    assert expected.item() > 0.05
    assert made.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_short_reference_does_not_hide_the_end_of_the_text_from_the_duration_model(pair: Pair) -> None:
    """The published sampler pads the reference to as many frames as the text has characters."""
    speaker = voice(0.5)
    frames, characters = 24_000 // 2 // 256 + 1, len(f"{PROMPT_TEXT} {TEXT}")
    assert frames < characters == 49
    wave = torch.from_numpy(speaker.samples)[None]
    mel = nn.functional.pad(pair.model.mel_spec(wave).transpose(1, 2), (0, 0, 0, characters - frames))
    with torch.inference_mode():
        seconds = pair.model._duration_predictor(mel, ids(f"{PROMPT_TEXT} {TEXT}")).item()
    predicted = pair.system.predict_durations([Piece(TEXT, 0.0)], speaker, 1.0)[0]
    assert predicted == pytest.approx(max(seconds - frames / 93.75, 12 / 93.75), rel=1e-4)


def test_the_whole_system_speaks_what_the_published_one_speaks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, frames = voice(), 24_000 // 256 + 1
    wave = spoken(pair.system, speaker, seed=11)
    length = len(wave) // 256 + 1
    noise = np.random.default_rng(11).standard_normal((frames + length, 100), dtype=np.float32)
    monkeypatch.setattr(torch, "randn", lambda *size, **_: torch.from_numpy(noise).reshape(size))
    monkeypatch.setattr(pair.model, "vocoder", pair.vocos.decode)
    expected, _ = pair.model.sample(
        torch.from_numpy(speaker.samples)[None],
        ids(f"{PROMPT_TEXT} {TEXT}"),
        frames + length,
        steps=3,
        ode_method="euler",
        cfg_strength=2.0,
        sway_sampling_coef=-1.0,
    )
    assert gap(torch.from_numpy(wave), expected) < 1e-4


def test_log_mels_agree() -> None:
    wave = torch.from_numpy(voice(0.7).samples)[None] + 0.01 * torch.randn(1, 16_800)
    expected = theirs.MelSpec()(wave).transpose(1, 2)
    assert gap(LogMel(MelConfig())(wave), expected) < 1e-4
    features = vocos.feature_extractors.MelSpectrogramFeatures()(wave).transpose(1, 2)
    assert gap(LogMel(MelConfig(floor=1e-7))(wave), features) < 1e-4


@pytest.mark.parametrize("padding", ["center", "same"])
def test_vocos_for_mels_agrees(tmp_path: Path, padding: str) -> None:
    config = {**MEL_VOCOS, "head": {**MEL_VOCOS["head"], "init_args": dict(MEL_VOCOS["head"]["init_args"])}}
    config["head"]["init_args"]["padding"] = padding
    published = write_vocos(tmp_path / "vocos", config)
    mel = mels(40)
    vocoder = load_vocoder(str(tmp_path / "vocos"))
    with torch.inference_mode():
        assert gap(vocoder(mel), published.decode(mel.transpose(1, 2))) < 1e-4


def test_vocos_for_codes_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from encodec import EncodecModel

    built = functools.partial(EncodecModel.encodec_model_24khz, pretrained=False)  # no download
    monkeypatch.setattr(EncodecModel, "encodec_model_24khz", lambda pretrained: built())
    bandwidths = [1.5, 3.0, 6.0, 12.0]
    config = vocos_config(
        {"encodec_model": "encodec_24khz", "bandwidths": bandwidths},
        {
            "input_channels": 128,
            "dim": 48,
            "intermediate_dim": 96,
            "num_layers": 3,
            "adanorm_num_embeddings": len(bandwidths),
        },
        {"dim": 48, "n_fft": 1280, "hop_length": 320, "padding": "same"},
    )
    published = write_vocos(tmp_path / "vocos", config)
    randomise(published.feature_extractor, 5)
    state = torch.load(tmp_path / "vocos" / "pytorch_model.bin")
    state["feature_extractor.codebook_weights"] = published.feature_extractor.codebook_weights.data
    torch.save(state, tmp_path / "vocos" / "pytorch_model.bin")

    vocoder = load_vocoder(str(tmp_path / "vocos"))
    for row, (bandwidth, books) in enumerate(zip(bandwidths, (2, 4, 8, 16), strict=True)):
        codes = torch.randint(0, 1024, (1, books, 30), generator=torch.Generator().manual_seed(row))
        features = published.codes_to_features(codes[0])
        with torch.inference_mode():
            expected = published.decode(features, bandwidth_id=torch.tensor([row]))
            made = vocoder.decode_codes(codes, bandwidth)
        assert made.shape == (1, 30 * 320)
        assert gap(made, expected) < 1e-4


@pytest.mark.slow
def test_the_published_dimensions_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """82 M parameters, loaded by the published loader on one side and by ours on the other."""
    folder = tmp_path / "nanospeech"
    write_nanospeech(folder, TRUE, TRUE_DURATION)
    vocoder = write_vocos(tmp_path / "vocos", MEL_VOCOS)
    monkeypatch.setattr(theirs, "fetch_from_hub", lambda name: folder)
    monkeypatch.setattr(theirs.Vocos, "from_pretrained", lambda name: vocoder)
    published = theirs.Nanospeech.from_pretrained("any")
    published.vocoder = None
    system = load_system(str(folder), device="cpu", vocoder=str(tmp_path / "vocos"))
    assert 80e6 < sum(p.numel() for p in system.model.parameters()) < 84e6

    prompt, text, frames = mels(60), ids(f"{PROMPT_TEXT} {TEXT}"), 110
    _, trajectory = published.sample(
        prompt, text, frames, steps=3, ode_method="rk4", cfg_strength=2.0, sway_sampling_coef=-1.0, seed=3
    )
    made = system.model.sample(
        draw(frames, 3)[None],
        text,
        torch.tensor([frames]),
        times=solvers.schedule(2, -1.0),
        method="rk4",
        cfg=2.0,
        prompt=prompt,
    )
    assert gap(made, trajectory[-1]) < 1e-4
    with torch.inference_mode():
        expected = published._duration_predictor(prompt, text)
        assert isinstance(system.duration, DurationTransformer)
        seconds = system.duration.predict(prompt, text, torch.tensor([60]))
    assert seconds.item() == pytest.approx(expected.item(), rel=1e-4)


# ---- where the published code errs --------------------------------------------------------------------------------


def test_unequal_items_of_a_batch_each_get_what_the_published_model_makes_of_them_alone(pair: Pair) -> None:
    texts, prompts, lengths = (f"{PROMPT_TEXT} {TEXT}", "me. nature"), (mels(60, 1), mels(31, 2)), (100, 77)
    prompt = torch.cat([nn.functional.pad(p, (0, 0, 0, 60 - p.shape[1])) for p in prompts])
    with pytest.raises((RuntimeError, AssertionError)):
        pair.model.sample(prompt, ids(*texts), torch.tensor(lengths), steps=3, seed=1)

    noise = torch.stack([nn.functional.pad(draw(n, 1), (0, 0, 0, 100 - n)) for n in lengths])
    made = pair.system.model.sample(
        noise,
        ids(*texts),
        torch.tensor(lengths),
        times=solvers.schedule(2, -1.0),
        method="midpoint",
        cfg=1.5,
        prompt=prompt,
        prompt_lengths=torch.tensor([p.shape[1] for p in prompts]),
    )
    for i, (text, its_prompt, length) in enumerate(zip(texts, prompts, lengths, strict=True)):
        _, trajectory = pair.model.sample(
            its_prompt,
            ids(text),
            length,
            steps=3,
            ode_method="midpoint",
            cfg_strength=1.5,
            sway_sampling_coef=-1.0,
            seed=1,
        )
        assert gap(made[i, :length], trajectory[-1, 0]) < 1e-4


def test_text_longer_than_the_frames_is_spoken_as_far_as_it_goes(pair: Pair) -> None:
    text = ids("nature " * 12)
    with pytest.raises(AssertionError):
        pair.model.sample(mels(20), text, 50, steps=3, seed=1)
    made = pair.system.model.sample(
        draw(50, 1)[None], text, torch.tensor([50]), times=solvers.schedule(2), cfg=1.0, prompt=mels(20)
    )
    assert torch.isfinite(made).all()


def test_a_line_end_after_the_last_vocabulary_entry_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    for name in ("model.safetensors", "duration.safetensors"):
        (tmp_path / name).write_bytes((pair.folder / name).read_bytes())
    (tmp_path / "vocab.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    # test_checkpoints.py has the other kind: weights whose training counted that entry too
    counted = (tmp_path / "vocab.txt").read_text().split("\n")
    assert len(counted) == len(CHARACTERS) + 1, "the published loader builds one row too many"
    system = load_system(str(tmp_path), device="cpu", vocoder=str(pair.folder.parent / "vocos"))
    assert system.tokenizer.encode(TEXT) == ids(TEXT)[0].tolist()


def test_the_fast_tests_know_the_published_layout(pair: Pair) -> None:
    """test_checkpoints.py writes such files without the packages; here its list is held against theirs."""
    from helpers.published import published_shapes
    from safetensors.torch import load_file

    rows = len(CHARACTERS) + 1
    for name, shapes in (
        ("model", published_shapes(rows, 64, 3, 3, 32, 2, duration=False)),
        ("duration", published_shapes(rows, 48, 2, 2, 24, 0, duration=True)),
    ):
        saved = load_file(pair.folder / f"{name}.safetensors")
        assert {n: tuple(t.shape) for n, t in saved.items()} == shapes


def test_a_missing_duration_file_is_done_without(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.safetensors", "vocab.txt"):
        (tmp_path / name).write_bytes((pair.folder / name).read_bytes())
    monkeypatch.setattr(theirs, "fetch_from_hub", lambda name: tmp_path)
    monkeypatch.setattr(theirs.Vocos, "from_pretrained", lambda name: pair.vocos)
    with pytest.raises(FileNotFoundError):
        theirs.Nanospeech.from_pretrained("any")
    system = load_system(str(tmp_path), device="cpu", vocoder=str(pair.folder.parent / "vocos"))
    wave = spoken(system, voice())
    expected = len(TEXT) / len(PROMPT_TEXT)  # seconds: the reference's pace, and it lasts 1 s
    assert len(wave) / 24_000 == pytest.approx(expected, abs=0.02)


def test_speed_changes_the_speech_but_not_the_reference(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, speaker = 3.0, voice(1.0)
    monkeypatch.setattr(pair.model._duration_predictor, "forward", lambda *_: torch.tensor([seconds]))
    monkeypatch.setattr(pair.system.duration, "predict", lambda *_: torch.tensor([seconds]))
    mel = pair.model.mel_spec(torch.from_numpy(speaker.samples)[None]).transpose(1, 2)
    whole = [pair.model.predict_duration(mel, ids(TEXT), speed).item() for speed in (1.0, 2.0)]
    assert whole == [279, 139], "the published count: 93 frames a second, and the reference is halved too"
    made = [len(spoken(pair.system, speaker, speed=s)) // 256 + 1 for s in (1.0, 2.0)]
    reference = mel.shape[1]
    assert reference == 94
    assert made[0] == round(3.0 * 93.75 - reference) == 187
    assert made[1] == round((3.0 * 93.75 - reference) / 2) == 94


def test_unknown_characters_are_refused_not_spoken_as_the_first(pair: Pair) -> None:
    assert ids("né")[0].tolist() == [CHARACTERS.index("n"), 0]
    with pytest.raises(ValueError, match="é"):
        pair.system.tokenizer.encode("né")


def test_steps_are_intervals_and_guidance_is_one_pass_of_two_items(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = {"theirs": 0, "ours": 0}
    for who, model in (("theirs", pair.model), ("ours", pair.system.model)):
        forward = model.transformer.forward

        def counted(*args: Any, who: str = who, forward: Any = forward, **kwargs: Any) -> Tensor:
            passes[who] += 1
            return forward(*args, **kwargs)

        monkeypatch.setattr(model.transformer, "forward", counted)
    pair.model.sample(mels(30), ids("call me nature"), 60, steps=8, ode_method="rk4", cfg_strength=2.0, seed=1)
    pair.system.model.sample(
        draw(60, 1)[None],
        ids("call me nature"),
        torch.tensor([60]),
        times=solvers.schedule(8),
        cfg=2.0,
        prompt=mels(30),
    )
    assert passes == {"theirs": 56, "ours": 8}
