"""Vocos with random weights: lengths, inverse Fourier transform, codes, errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.vocoders import SMALL, vocoder
from torch import Tensor

from vivavoce.config import MelConfig
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import ISTFTHead

torch.set_num_threads(1)

CODES = VocoderConfig(
    input="codes", dim=24, intermediate_dim=48, num_layers=2, padding="same", n_fft=128, hop=32,
    codebooks=4, codebook_size=16, codebook_dim=12, bandwidths=(1.5, 3.0),
)  # fmt: skip


def stft(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    """[B, S] → complex [B, N, n_fft // 2 + 1], without padding."""
    frames = torch.stft(wave, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True)
    return frames.transpose(1, 2)


@pytest.mark.parametrize("padding", ["center", "same"])
@pytest.mark.parametrize("frames", [2, 3, 20])
def test_samples_per_frame(padding: str, frames: int) -> None:
    wave = vocoder(SMALL.replace(padding=padding))(torch.randn(2, frames, 100))
    assert wave.shape == (2, (frames - 1 if padding == "center" else frames) * 256)
    assert torch.isfinite(wave).all() and wave.std() > 0


def test_the_centred_inverse_undoes_a_centred_stft() -> None:
    wave = torch.randn(2, 4096)
    head = ISTFTHead(SMALL)
    spectrum = stft(F.pad(wave[:, None], (512, 512), mode="reflect")[:, 0], 1024, 256)
    assert torch.allclose(head.inverse(spectrum), wave, atol=1e-4)


def test_the_same_padded_inverse_undoes_an_stft_of_as_many_frames_as_hops() -> None:
    wave = torch.randn(2, 32 * 40)
    pad = (128 - 32) // 2
    spectrum = stft(F.pad(wave, (pad, pad)), 128, 32)
    assert spectrum.shape[1] == 40
    assert torch.allclose(ISTFTHead(CODES).inverse(spectrum), wave, atol=1e-4)


def test_a_loud_untrained_head_stays_finite() -> None:
    model = vocoder(SMALL)
    with torch.no_grad():
        model.head.out.bias.add_(500)
    assert torch.isfinite(model(torch.randn(1, 8, 100))).all()


def test_items_of_a_batch_do_not_mix() -> None:
    model, mel = vocoder(SMALL), torch.randn(3, 12, 100)
    together = model(mel)
    for i in range(3):
        assert torch.allclose(together[i], model(mel[i : i + 1])[0], atol=1e-5)


def test_codes_are_summed_from_their_own_books() -> None:
    model = vocoder(CODES)
    codes = torch.randint(0, 16, (2, 3, 25), generator=torch.Generator().manual_seed(1))
    wave = model.decode_codes(codes, 3.0)
    assert wave.shape == (2, 25 * 32)
    table = model.codebook_weights.view(4, 16, 12)
    features = sum(table[q][codes[:, q]] for q in range(3))
    assert torch.allclose(wave, model(features, torch.tensor([1])), atol=1e-6)
    assert not torch.allclose(wave, model.decode_codes(codes.flip(1), 3.0), atol=1e-3)


def test_each_bandwidth_has_its_own_normalisation() -> None:
    codes = torch.zeros(1, 2, 25, dtype=torch.long)
    model = vocoder(CODES)
    assert not torch.allclose(model.decode_codes(codes, 1.5), model.decode_codes(codes, 3.0), atol=1e-4)


def test_wrong_codes_are_refused_by_name() -> None:
    model, codes = vocoder(CODES), torch.zeros(1, 2, 25, dtype=torch.long)
    with pytest.raises(ValueError, match=r"bandwidth 24.*1\.5, 3\.0"):
        model.decode_codes(codes, 24)
    with pytest.raises(ValueError, match=r"\(1, 5, 25\).*4"):
        model.decode_codes(torch.zeros(1, 5, 25, dtype=torch.long), 3.0)
    with pytest.raises(ValueError, match="mel frames, not codes"):
        vocoder(SMALL).decode_codes(codes, 3.0)


def test_a_hop_that_differs_from_the_mels_is_refused() -> None:
    with pytest.raises(ValueError, match="hop is 300.*256"):
        VocoderConfig(mel=MelConfig(), hop=300)


def test_gradients_reach_every_parameter() -> None:
    model = vocoder(SMALL)
    model(torch.randn(1, 10, 100)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
