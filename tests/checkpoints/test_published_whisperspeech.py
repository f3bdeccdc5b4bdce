"""The published WhisperSpeech and Whisper packages beside ours: same files and noise in, same numbers out.

Needs the packages, which the toolkit itself never does; skipped where they are missing. Weights are random, written in
the published format by the published classes. They are drawn such that every tensor counts.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn

from vivavoce.checkpoints.whisperspeech_torch import load_s2a, load_semantic, load_t2s, load_whisper
from vivavoce.models.whisperspeech import TokenSamplingConfig
from vivavoce.models.whisperspeech_torch import PADDING
from vivavoce.text.languages import WHISPER_LANGUAGES

MISSING = (
    "the published package is missing: "
    "pip install --no-deps whisperspeech==0.8.9 fastprogress==1.0.3 fastcore==1.5.29 torchaudio"
)
published_t2s = pytest.importorskip("whisperspeech.t2s_up_wds_mlang_enclm", reason=MISSING, exc_type=ImportError)
published_s2a = pytest.importorskip("whisperspeech.s2a_delar_mup_wds_mlang", reason=MISSING, exc_type=ImportError)
published_cond = pytest.importorskip("whisperspeech.s2a_delar_mup_wds_mlang_cond", reason=MISSING, exc_type=ImportError)
languages = pytest.importorskip("whisperspeech.languages", reason=MISSING, exc_type=ImportError)

torch.set_num_threads(1)

GREEDY = TokenSamplingConfig(temperature=0)
TEXT = "Hello, how are you? Żółw."


def randomise(model: nn.Module, seed: int, lively: bool = True) -> None:
    """Every parameter random. `lively` makes what is written change from place to place, and logits of hundreds."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=draw)
            if ".special." in name:
                p.copy_(0.1 * noise)  # so that none of the codes that are not to be spoken becomes the likeliest
            elif "ln_post.weight" in name and lively:
                p.copy_(noise)  # one table reads in and out: with weights near 1 every code would follow itself
            elif "emb" in name and p.ndim > 1 and "hidden" not in name:
                p.copy_(noise if lively else 0.1 * noise)
            elif p.ndim > 1:
                sharp = 4 if "query" in name or "key" in name else 2
                p.copy_((sharp if lively else 1) * noise / p[0].numel() ** 0.5)
            else:
                p.copy_((1 if "ln" in name and name.endswith("weight") else 0) + 0.1 * noise)


def greedy(generate: Any, *args: Any, **kwargs: Any) -> Tensor:
    """The published generation with temperature 0, where its draws decide nothing."""
    return generate(*args, T=0.0, show_progress_bar=False, **kwargs)


T2S_SIZES: dict[str, dict[str, Any]] = {
    "micro": {"depth": 2, "n_head": 3, "ffn_mult": 1, "stoks_width": 64},
    "own_width": {"depth": 2, "n_head": 2, "ffn_mult": 2, "stoks_width": None},
}


@functools.cache
def t2s_pair(folder: Path, size: str, offset: int, lively: bool) -> tuple[Any, Any]:
    tunables = published_t2s.Tunables(padding_token_offset=offset, query_mult=1.5)
    lengths = {"ttoks_len": 64, "stoks_len": 96, "stoks_codes": 41}
    model = published_t2s.TSARTransformer(**T2S_SIZES[size], **lengths, tunables=tunables)
    randomise(model, 1, lively)
    path = folder / f"t2s-{size}{offset}{lively}.model"
    model.save_model(path)
    return model.eval(), load_t2s(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


def ids(text: str = TEXT) -> Tensor:
    return torch.tensor([list(text.encode())])


def test_the_languages_are_the_published_ones_in_their_order() -> None:
    assert languages.languages == WHISPER_LANGUAGES


@pytest.mark.parametrize("size", T2S_SIZES)
@pytest.mark.parametrize("offset", [0, -1])
def test_t2s_logits(folder: Path, size: str, offset: int) -> None:
    theirs, ours = t2s_pair(folder, size, offset, lively=False)
    text, codes = ids(), torch.randint(41, (1, 30), generator=torch.Generator().manual_seed(2))
    row = WHISPER_LANGUAGES.index("pl")
    padded = torch.nn.functional.pad(text, (1, 64 - text.shape[1] - 1))
    before = torch.cat((torch.tensor([[41 + offset]]), codes), dim=1)
    with torch.no_grad():
        wanted, _ = theirs(
            padded, None, torch.tensor([row]), torch.tensor([13.0]), before,
            in_stoks_positions=torch.arange(31), loss=None,
        )  # fmt: skip
        found = ours.logits(text, torch.full_like(text, row), torch.tensor([13.0]), codes)
    assert wanted.std() > 0.05
    assert (found - wanted).abs().max() < 1e-4


def test_t2s_encoder_with_a_language_for_each_byte(folder: Path) -> None:
    theirs, ours = t2s_pair(folder, "micro", 0, lively=False)
    text = ids()
    rows = torch.zeros_like(text)
    rows[:, 20:] = WHISPER_LANGUAGES.index("pl")
    wrapped, spoken, _ = ours.wrap(text, rows)
    with torch.no_grad():
        wanted, _, _ = theirs.run_encoder(wrapped, theirs.lang_embeddings(spoken), torch.tensor([15.0]))
        found = ours.encode(wrapped, spoken, None)
    assert (found - wanted).abs().max() < 1e-4


@pytest.mark.parametrize("prompted", [0, 20])
@pytest.mark.parametrize("size", T2S_SIZES)
def test_t2s_greedy_codes(folder: Path, size: str, prompted: int) -> None:
    theirs, ours = t2s_pair(folder, size, 0, lively=True)
    fast = published_t2s.TSARTransformer(**theirs.__stored_args__, tunables=theirs.tunables)
    fast.load_state_dict(theirs.state_dict())
    fast.eval().optimize(dtype=torch.float32, torch_compile=False)  # their generation is wrong without its cache
    prompt = torch.randint(41, (prompted,), generator=torch.Generator().manual_seed(5))
    wanted = greedy(fast.generate, TEXT, cps=14, lang="en", stoks_prompt=prompt if prompted else None)[0, prompted:]
    text = ids()
    found = ours.generate(text, torch.zeros_like(text), torch.tensor([14.0]), GREEDY, prompt=prompt[None])
    assert len(set(wanted.tolist())) > 2
    n = min(len(wanted), int(found.lengths))
    assert n >= 90 - prompted or found.ended.item()
    assert found.codes[0, :n].tolist() == wanted[:n].tolist()


S2A_SIZES: dict[str, dict[str, Any]] = {
    "micro": {"depth": 4, "n_head": 3, "ffn_mult": 2, "stoks_width": 64, "spk_width": 192, "atoks_width": 32},
    "own_width": {"depth": 2, "n_head": 2, "ffn_mult": 2, "spk_width": 48},
    "conditioned": {"depth": 2, "n_head": 2, "ffn_mult": 2, "spk_width": 48, "stoks_width": 64},
}


@functools.cache
def s2a_pair(folder: Path, size: str, lively: bool) -> tuple[Any, Any]:
    module = published_cond if size == "conditioned" else published_s2a
    model = module.SADelARTransformer(**S2A_SIZES[size], quantizers=4, stoks_codes=65, tunables=module.Tunables())
    randomise(model, 3, lively)
    path = folder / f"s2a-{size}{lively}.model"
    model.save_model(path)
    return model.eval(), load_s2a(path)


@pytest.mark.parametrize("size", S2A_SIZES)
def test_s2a_logits(folder: Path, size: str) -> None:
    theirs, ours = s2a_pair(folder, size, lively=False)
    draw = torch.Generator().manual_seed(4)
    semantic = torch.randint(64, (1, 20), generator=draw)
    codes = torch.randint(1024, (1, 4, 60), generator=draw)
    speaker = torch.randn(1, ours.config.speaker_dim, generator=draw) * 3
    padded = torch.nn.functional.pad(semantic, (1, 750 - 21), value=64)
    columns = ours.delayed(codes, torch.tensor([60]))
    with torch.no_grad():
        voice = [{"speaker": speaker[0], "snr": 60.0, "c50": 60.0}] if size == "conditioned" else speaker
        wanted = theirs(padded, columns, voice, noloss=True)
        found = ours.logits(semantic, speaker, codes)
    wanted = torch.stack([wanted[:, q, q : q + 60] for q in range(4)], dim=1)
    assert wanted.std() > 0.05
    assert (found - wanted).abs().max() < 1e-4


@pytest.mark.parametrize("size", S2A_SIZES)
def test_s2a_greedy_codes(folder: Path, size: str) -> None:
    theirs, ours = s2a_pair(folder, size, lively=True)
    theirs.optimize(dtype=torch.float32, torch_compile=False)
    draw = torch.Generator().manual_seed(6)
    semantic = torch.randint(64, (1, 20), generator=draw)
    speaker = torch.randn(1, ours.config.speaker_dim, generator=draw)
    wanted = greedy(theirs.generate, semantic[0], speaker)
    found = ours.generate(semantic, speaker, GREEDY)
    assert wanted.shape == (1, 4, 56) and wanted.max() < 1024  # published: four frames short
    assert len(set(wanted.flatten().tolist())) > 10
    assert found.codes.shape == (1, 4, 60) and not (found.codes == PADDING).any()
    assert torch.equal(found.codes[:, :, :56], wanted)


# ---- Whisper and its bottleneck -------------------------------------------------------------------------------------

DIMS = {
    "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 128, "n_audio_head": 2, "n_audio_layer": 2,
    "n_vocab": 51865, "n_text_ctx": 64, "n_text_state": 128, "n_text_head": 2, "n_text_layer": 2,
}  # fmt: skip


def sound(seconds: float, seed: int = 7) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(int(16_000 * seconds)) / 16_000
    return 0.3 * torch.sin(2 * torch.pi * (200 + 300 * time) * time) + 0.02 * torch.randn(len(time), generator=draw)


@functools.cache
def whisper_pair(folder: Path, lively: bool) -> tuple[Any, Any]:
    whisper = pytest.importorskip("whisper", reason="pip install --no-deps openai-whisper tiktoken numba llvmlite")
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**DIMS))
    randomise(model, 8, lively)
    path = folder / f"whisper{lively}.pt"
    torch.save({"dims": dataclasses.asdict(model.dims), "model_state_dict": model.state_dict()}, path)
    return model.eval(), load_whisper(path)


def test_whisper_frames_and_logits(folder: Path) -> None:
    theirs, ours = whisper_pair(folder, lively=False)
    whisper = pytest.importorskip("whisper")
    wave = sound(2.53)
    wanted_mel = whisper.log_mel_spectrogram(wave)
    assert (ours.mel(wave) - wanted_mel.T).abs().max() < 1e-4
    tokens = torch.randint(51865, (1, 12), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        padded = torch.nn.functional.pad(wanted_mel, (0, 3000 - wanted_mel.shape[1]), value=-1.5)[None]
        wanted = theirs.encoder(padded)
        found, sounds = ours.frames([wave])
        assert sounds.tolist() == [126]
        assert (found - wanted).abs().max() < 1e-4
        wanted = theirs.decoder(tokens, wanted)
        found = ours.decoder(tokens, ours.decoder.context(found))
    assert (found - wanted).abs().max() < 1e-4


def test_whisper_greedy_text(folder: Path) -> None:
    theirs, ours = whisper_pair(folder, lively=True)
    whisper = pytest.importorskip("whisper")
    frames, _ = ours.frames([sound(2.5), sound(4, seed=3)])
    special = [i for i in range(50258, 51865)]
    options = whisper.DecodingOptions(
        language="fr", without_timestamps=True, suppress_blank=False, suppress_tokens=special, sample_len=20, fp16=False
    )
    wanted = [result.tokens for result in theirs.decode(frames, options)]
    assert ours.transcribe(frames, "fr", limit=20) == wanted
    assert len(set(wanted[0])) > 3
    tokenizer = whisper.tokenizer.get_tokenizer(True, num_languages=99, language="fr", task="transcribe")
    assert ours.config.start_tokens("fr") == list(tokenizer.sot_sequence_including_notimestamps)
    english = whisper.tokenizer.get_tokenizer(False, num_languages=99)
    smaller = dataclasses.replace(ours.config, n_vocab=51864)
    assert smaller.start_tokens() == list(english.sot_sequence_including_notimestamps)
    assert smaller.end_token == english.eot
    later = whisper.tokenizer.get_tokenizer(True, num_languages=100, language="fr", task="transcribe")
    larger = dataclasses.replace(ours.config, n_vocab=51866)
    assert larger.start_tokens("fr") == list(later.sot_sequence_including_notimestamps)


@functools.cache
def semantic_pair(folder: Path, mask: bool) -> tuple[Any, Any]:
    for name in ("torio", "torio.io", "torio.io._streaming_media_decoder", "IPython"):
        try:
            importlib.import_module(name)
        except ImportError:  # it is imported there for training and notebooks only
            sys.modules[name] = MagicMock()
    missing = "pip install --no-deps vector-quantize-pytorch==1.6.22 webdataset pandas matplotlib"
    module = pytest.importorskip("whisperspeech.vq_stoks", reason=missing, exc_type=ImportError)
    theirs, ours = whisper_pair(folder, lively=True)
    torch.manual_seed(0)  # the codebook is no parameter
    model = module.RQBottleneckTransformer(
        vq_codes=32, q_depth=1, depth=1, n_head=2, codebook_dim=16, threshold_ema_dead_code=0, use_cosine_sim=True,
        downsample=2, whisper_model_name="tiny", tunables=module.Tunables(mask_embs=mask),
    )  # fmt: skip
    randomise(model, 10)
    path = folder / f"whisper-vq-stoks-{mask}.model"
    model.save_model(path)
    model.whmodel = [theirs]
    model.decoding_options = None
    return model.eval(), load_semantic(path, ours)


@pytest.mark.parametrize("mask", [True, False])
def test_semantic_codes_and_frames(folder: Path, mask: bool) -> None:
    theirs, ours = semantic_pair(folder, mask)
    _, whisper = whisper_pair(folder, lively=True)
    wave = sound(2.53)
    with torch.no_grad():
        wanted = theirs.encode_audio(wave[None])[0]
    found = ours.encode(whisper, [wave])[0]
    assert len(found) == 63
    assert found.tolist() == wanted[:63].tolist()  # published without a padding code: of the whole window
    assert len(set(found.tolist())) > 2
    assert 32 not in found  # what is behind the code for padding, they leave out
    with torch.no_grad():
        wanted_frames = theirs.dequantize(found)
        assert (ours.dequantise(found[None]) - wanted_frames).abs().max() < 1e-4
