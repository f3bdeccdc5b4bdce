"""Semantic tokens with a tiny random Whisper: rates, padding, windows, codebook, trained parameters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.checkpoints.whisperspeech_torch import load_whisper
from vivavoce.models.semantic import SemanticConfig, WhisperConfig
from vivavoce.models.semantic_torch import PADDING, Codebook, Semantic, Whisper
from vivavoce.train.auxiliary_models import SemanticWithAuxiliaryLosses

SMALL = WhisperConfig(
    n_mels=80, n_audio_ctx=100, n_audio_state=16, n_audio_head=2, n_audio_layer=1,
    n_vocab=51865, n_text_ctx=24, n_text_state=16, n_text_head=2, n_text_layer=1,
)  # fmt: skip
CONFIG = SemanticConfig(whisper=SMALL, codes=12, code_width=6, heads=2, ff_mult=2)


pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


@pytest.fixture
def whisper() -> Whisper:
    torch.manual_seed(0)
    model = Whisper(SMALL)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5 if parameter.ndim > 1 else 0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture
def model() -> Semantic:
    torch.manual_seed(1)
    model = Semantic(CONFIG)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model.eval()


def sound(seconds: float, hz: float = 300.0) -> Tensor:
    time = torch.arange(int(16_000 * seconds)) / 16_000
    return 0.3 * torch.sin(2 * math.pi * hz * (1 + time) * time)


def test_rates_and_window() -> None:
    assert SemanticConfig().rate == 25 and SemanticConfig().length == 750
    assert SemanticConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(ValueError, match="downsample is 7; it must be a divisor of n_audio_ctx"):
        SemanticConfig(whisper=SMALL, downsample=7)


def test_codes_come_25_times_a_second_and_know_nothing_of_their_neighbours(whisper: Whisper, model: Semantic) -> None:
    waves = [sound(1.0), sound(0.5, 500), sound(2.0, 200)]
    together = model.encode(whisper, waves)
    assert [len(codes) for codes in together] == [25, 12, 50]
    for wave, codes in zip(waves, together, strict=True):
        assert torch.equal(codes, model.encode(whisper, [wave])[0])
        assert int(codes.min()) >= 0 and int(codes.max()) < 12  # never the code for nothing


def test_longer_sound_than_the_window_is_cut_into_windows(whisper: Whisper, model: Semantic) -> None:
    assert whisper.window == 32_000
    wave = sound(5.0)
    codes = model.encode(whisper, [wave, sound(1.0)])
    assert [len(c) for c in codes] == [125, 25]
    assert torch.equal(codes[0][50:100], model.encode(whisper, [wave[32_000:64_000]])[0])
    assert len(model.encode(whisper, [sound(2.0001)])[0]) == 50  # the rest is too short for a code
    with pytest.raises(ValueError, match="waveform of shape .100,.; it must be .samples. with more than 200 samples"):
        model.encode(whisper, [torch.zeros(100)])
    with pytest.raises(ValueError, match="32001 samples; Whisper's window holds at most 32000"):
        whisper.frames([torch.zeros(32_001)])


def test_loudness_by_less_than_the_floor_changes_no_frame(whisper: Whisper) -> None:
    wave = sound(1.0)
    louder = whisper.mel(wave * 2) - whisper.mel(wave)
    assert torch.allclose(louder, torch.full_like(louder, 2 * math.log10(2) / 4), atol=1e-4)
    assert whisper.mel(wave).max() - whisper.mel(wave).min() <= 2 + 1e-5  # 80 dB


def test_padding_of_codes_is_nothing(model: Semantic) -> None:
    codes = torch.randint(12, (1, 20))
    padded = F.pad(codes, (0, 7), value=PADDING)
    assert model.dequantise(codes).shape == (1, 100, 16)
    assert torch.equal(model.dequantise(codes), model.dequantise(padded))
    assert not torch.allclose(model.dequantise(codes), model.dequantise(F.pad(codes, (0, 7), value=3)), atol=1e-3)
    with pytest.raises(ValueError, match="51 codes; Whisper's window holds 50"):
        model.dequantise(torch.zeros(1, 51, dtype=torch.long))


def test_text_is_read_the_same_with_a_cache_and_alone(whisper: Whisper, model: Semantic) -> None:
    codes = torch.randint(12, (2, 20), generator=torch.Generator().manual_seed(3))
    texts = model.decode_text(whisper, codes, "fr")
    assert texts == [model.decode_text(whisper, row[None], "fr")[0] for row in codes]
    begin = SMALL.start_tokens("fr")
    assert begin == [50258, 50265, 50359, 50363]
    frames = model.dequantise(codes[:1])
    tokens = torch.tensor([begin + texts[0]])
    logits = whisper.decoder(tokens, whisper.decoder.context(frames))[..., : SMALL.end_token + 1]
    read = logits.argmax(-1)[0, len(begin) - 1 :].tolist()
    assert read[: len(texts[0])] == texts[0] and len(texts[0]) > 0
    with pytest.raises(ValueError, match="language is 'xx'; Whisper knows en, zh"):
        SMALL.start_tokens("xx")


def test_the_codebook_follows_what_it_is_given() -> None:
    torch.manual_seed(4)
    centres = F.normalize(torch.randn(8, 5), dim=-1)
    points = F.normalize(centres[torch.randint(8, (2000,))] + 0.05 * torch.randn(2000, 5), dim=-1)
    book = Codebook(rows=9, width=5, choices=8, decay=0.9)
    nothing = book.vectors[8].clone()

    def distance() -> float:
        return float((points - book.vectors[book.nearest(points)]).square().sum(-1).mean())

    before = distance()
    for _ in range(100):
        book.follow(points, book.nearest(points))
    followed = distance()
    book.fit(points)
    assert followed < 0.7 * before
    assert distance() < 0.1 * before
    assert torch.allclose(book.vectors.norm(dim=-1), torch.ones(9)) and int(book.nearest(points).max()) < 8
    assert torch.allclose(book.vectors[8], nothing)
    with pytest.raises(ValueError, match="3 vectors for 8 codes"):
        book.fit(points[:3])


def test_training_moves_the_bottleneck_and_the_codebook_and_not_whisper(whisper: Whisper) -> None:
    torch.manual_seed(5)
    model = SemanticWithAuxiliaryLosses(CONFIG, 3)
    frames, sounds = whisper.frames([sound(1.5), sound(0.8, 500)])
    unknown = torch.full((2, CONFIG.length, 1), PADDING), torch.zeros(2, CONFIG.length)  # the letters and their places
    before = torch.tensor([[50258, 11, 12, 13], [50258, 21, 22, PADDING]])
    after = torch.tensor([[11, 12, 13, 50257], [21, 22, 50257, PADDING]])
    model.train()
    held = {name: p.clone() for name, p in whisper.state_dict().items()}
    vectors = model.codebook.vectors.clone()
    rates = model.learning_rates()
    named = dict(model.named_parameters())
    assert set(rates) == set(named)
    optimiser = torch.optim.AdamW([{"params": [named[n]], "lr": 2e-2 * rate} for n, rate in rates.items()])
    losses = []
    for _ in range(12):
        loss = model(whisper, frames, sounds, *unknown, before, after)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.3
    assert not torch.equal(vectors, model.codebook.vectors)
    assert named["ff.0.weight"].grad is not None and float(named["ff.0.weight"].grad.abs().sum()) > 0
    assert all(torch.equal(held[name], p) for name, p in whisper.state_dict().items())
    model.eval()
    vectors = model.codebook.vectors.clone()
    loss = model.loss(whisper, frames, sounds, *unknown, before, after)
    assert torch.equal(vectors, model.codebook.vectors)
    junk = frames.clone()
    junk[1, 50:] = 100.0  # behind the sound: the bottleneck does not hear it
    kept = SemanticWithAuxiliaryLosses(CONFIG.replace(kl=0.0), 3).eval()
    kept.load_state_dict(model.state_dict())
    one, two = (kept.loss(whisper, f, sounds, *unknown, before, after) for f in (frames, junk))
    assert torch.allclose(one, two) and float(one) < float(loss)


def test_files_that_are_no_whisper_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a Whisper checkpoint, it has no dims and model_state_dict"):
        load_whisper(path)
