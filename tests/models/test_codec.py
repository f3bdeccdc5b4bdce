"""Acoustic tokens: the fitted codec's quality, lengths and codebooks; the interface of EnCodec, if installed."""

from __future__ import annotations

import builtins
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vivavoce.config import MelConfig
from vivavoce.models.codec import CodecConfig
from vivavoce.models.codec_torch import EncodecCodec, MelCodec, MelQuantizer, fit, load_encodec, nearest
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Vocoder

MEL = MelConfig(n_fft=256, hop=64, n_mels=20, sample_rate=8000)
CONFIG = CodecConfig(mel=MEL, components=12, quantizers=3, codes=16)


pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


def sound(seconds: float, seed: int = 0) -> Tensor:
    """A gliding tone with some noise [S]."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(int(8000 * seconds)) / 8000
    tone = torch.sin(2 * math.pi * (300 + 900 * time / seconds) * time) * (1 + torch.sin(9 * time)) / 4
    return tone + 0.01 * torch.randn(len(time), generator=draw)


@pytest.fixture(scope="module")
def quantizer() -> MelQuantizer:
    front = LogMel(MEL)
    mels = [front(sound(2.0 + seed / 7, seed)[None])[0] for seed in range(6)]
    return fit(CONFIG, mels, rounds=10, generator=torch.Generator().manual_seed(0))


def test_each_codebook_takes_some_of_what_the_others_left(quantizer: MelQuantizer) -> None:
    lost = quantizer.unexplained(LogMel(MEL)(sound(2.5, 99)[None]))
    assert lost.shape == (3,) and (lost.diff() < 0).all()
    assert lost[0] < 0.35 and lost[-1] < 0.2
    assert torch.allclose(quantizer.components @ quantizer.components.T, torch.eye(12), atol=1e-5)


def test_with_more_codebooks_and_components_hardly_anything_is_lost() -> None:
    mel = LogMel(MEL)(sound(2.0)[None])
    few = fit(CONFIG, [mel[0]], rounds=5).unexplained(mel)[-1]
    many = fit(CONFIG.replace(components=40, quantizers=8, codes=64), [mel[0]], rounds=5).unexplained(mel)[-1]
    assert many < 0.01 < few


def test_codes_of_decoded_frames_are_those_codes(quantizer: MelQuantizer) -> None:
    mel = LogMel(MEL)(sound(2.5, 99)[None])
    codes = quantizer.encode(mel)
    assert codes.shape == (1, 3, math.ceil(mel.shape[1] / 2)) and int(codes.min()) >= 0 and int(codes.max()) < 16
    first = quantizer.decode(codes[:, :1])
    assert torch.equal(quantizer.encode(first)[:, :1], codes[:, :1])
    assert first.shape == (1, 2 * codes.shape[2], 20)


def test_items_of_a_batch_are_coded_as_alone(quantizer: MelQuantizer) -> None:
    mels = LogMel(MEL)(torch.stack((sound(2.0, 1), sound(2.0, 2))))
    assert torch.equal(quantizer.encode(mels)[1:], quantizer.encode(mels[1:]))


def test_wave_to_codes_to_wave(quantizer: MelQuantizer) -> None:
    vocoder = Vocoder(VocoderConfig(mel=MEL, dim=8, intermediate_dim=8, num_layers=1, n_fft=256, hop=64)).eval()
    codec = MelCodec(quantizer, vocoder)
    assert (codec.sample_rate, codec.frame_rate, codec.quantizers) == (8000, 62.5, 3)
    for samples in (8000, 8064, 8065):
        codes = codec.encode(sound(2.0)[None, :samples])
        assert codes.shape == (1, 3, math.ceil((samples // 64 + 1) / 2))
        assert 0 <= codec.decode(codes).shape[1] - samples // 64 * 64 <= 64


def test_the_default_codec_has_the_documented_rate() -> None:
    assert CodecConfig().frame_rate == 46.875
    assert CodecConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(ValueError, match="components is 201; it must be at most stack . n_mels .200."):
        CodecConfig(components=201)


def test_what_is_no_code_is_refused(quantizer: MelQuantizer) -> None:
    with pytest.raises(ValueError, match="codes from 0 to 16; they must be 0 to 15"):
        quantizer.decode(torch.tensor([[[0, 16]]]))
    with pytest.raises(ValueError, match="they must be .batch, ≤ 3, time."):
        quantizer.decode(torch.zeros(1, 4, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="5 stacked frames for 16 codes"):
        fit(CONFIG, [torch.randn(10, 20)])
    with pytest.raises(ValueError, match="0 stacked frames for 16 codes"):
        fit(CONFIG, [])


def test_the_nearest_code_is_the_nearest() -> None:
    points, book = torch.randn(50, 4), 3 * torch.randn(9, 4)
    assert torch.equal(nearest(points, book), torch.cdist(points, book).argmin(-1))


def test_fitting_tells_how_far_it_is() -> None:
    observed: list[tuple[int, int]] = []
    fit(CONFIG, [torch.randn(64, 20)], rounds=2, progress=lambda done, of: observed.append((done, of)))
    assert observed == [(n, 6) for n in range(1, 7)]


# ---- EnCodec --------------------------------------------------------------------------------------------------------


def test_encodec_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(
        ValueError, match="EnCodec needs Python 3.11 and the package transformers: pip install 'vivavoce.encodec.'"
    ):
        load_encodec()


def test_encodec_has_the_same_interface() -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'vivavoce[encodec]'")
    torch.manual_seed(0)
    model = transformers.EncodecModel(transformers.EncodecConfig(num_filters=4, hidden_size=16, codebook_size=1024))
    wave = torch.randn(2, 2000).clamp(-1, 1)
    for bandwidth, books in ((1.5, 2), (3.0, 4), (6.0, 8)):
        codec = EncodecCodec(model, bandwidth)
        codes = codec.encode(wave)
        assert codes.shape == (2, books, 7) and codec.quantizers == books
        assert codec.decode(codes).shape == (2, 7 * 320)
    table = VocoderConfig(
        input="codes", dim=8, intermediate_dim=8, num_layers=1, n_fft=1280, hop=320, padding="same",
        codebooks=16, codebook_dim=4, bandwidths=(1.5, 3.0, 6.0, 12.0),
    )  # fmt: skip
    spoken = EncodecCodec(model, 6.0, Vocoder(table).eval().decode_codes)
    assert spoken.decode(codes).shape == (2, 7 * 320)
    with pytest.raises(ValueError, match="bandwidth 12.0 kbit/s; it must be one of 1.5, 3.0, 6.0"):
        EncodecCodec(model, 12.0)
    with pytest.raises(ValueError, match="they must be .batch, 8, time."):
        spoken.decode(codes[:, :2])
