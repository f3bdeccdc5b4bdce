"""The whisperspeech engine on tiny random models: shapes, conditions, caches, batches, prompts, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.token_models import S2A_TINY, T2S_TINY, lively
from torch import Tensor, nn

from vivavoce.checkpoints.whisperspeech_torch import load_s2a, load_t2s
from vivavoce.models.whisperspeech import S2AConfig, T2SConfig, TokenSamplingConfig
from vivavoce.models.whisperspeech_torch import PADDING, S2A, T2S, Draws, choose, shifted

GREEDY = TokenSamplingConfig(temperature=0)


pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


def t2s(**changes: Any) -> T2S:
    return lively(T2S(T2S_TINY.replace(**changes)))


def s2a(**changes: Any) -> S2A:
    return lively(S2A(S2A_TINY.replace(**changes)))


def padded(*rows: Any) -> Tensor:
    """Rows of different length as one tensor; a row may have several codebooks."""
    tensors = [torch.as_tensor(row) for row in rows]
    size = max(t.shape[-1] for t in tensors)
    return torch.stack([nn.functional.pad(t, (0, size - t.shape[-1]), value=PADDING) for t in tensors])


def spoken(*texts: str) -> tuple[Tensor, Tensor, Tensor]:
    text = padded(*(list(t.encode()) for t in texts))
    return text, torch.zeros_like(text), torch.full((len(texts),), 12.0)


def random_codes(count: int, high: int, seed: int = 0) -> Tensor:
    return torch.randint(high, (count,), generator=torch.Generator().manual_seed(seed))


def voices(count: int) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(9))


# ---- configs --------------------------------------------------------------------------------------------------------


def test_sizes_have_the_published_dimensions() -> None:
    tiny = T2SConfig.of_size("tiny")
    assert (tiny.width, tiny.encoder_layers, tiny.decoder_layers) == (384, 2, 6)
    small = S2AConfig.of_size("small", quantizers=8)
    assert (small.width, small.encoder_layers, small.decoder_layers, small.quantizers) == (768, 6, 18, 8)
    assert T2SConfig.from_dict(tiny.to_dict()) == tiny
    with pytest.raises(ValueError, match="size is 'huge'; it must be one of micro, tiny, base, small"):
        T2SConfig.of_size("huge")


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    assert T2S_TINY.language("fr") == 1
    with pytest.raises(ValueError, match="language is 'xx'; this model knows en, fr"):
        T2S_TINY.language("xx")


def test_parameters_at_the_published_sizes() -> None:
    with torch.device("meta"):
        counts = [sum(p.numel() for p in T2S(T2SConfig.of_size(s)).parameters()) for s in ("micro", "tiny")]
    assert counts[0] < 2e6 < 12e6 < counts[1] < 20e6


# ---- text to semantic -----------------------------------------------------------------------------------------------


def test_each_byte_has_its_own_language() -> None:
    model = t2s()
    text, languages, _ = spoken("bonjour everyone")
    changed = languages.clone()
    changed[:, 8:] = 1
    with torch.no_grad():
        one, two = (model.encode(*model.wrap(text, rows)) for rows in (languages, changed))
    differs = (one - two).abs().amax((0, 2)) > 1e-6  # the first position is the zero before the text
    assert not differs[:9].any() and differs[9:17].all()


def test_what_comes_later_changes_no_earlier_logits_and_the_pace_changes_all() -> None:
    model = t2s()
    text, languages, pace = spoken("hello")
    codes = random_codes(12, 20)[None]
    other = codes.clone()
    other[0, 7] = (other[0, 7] + 1) % 20
    with torch.no_grad():
        a, b = (model.logits(text, languages, pace, c) for c in (codes, other))
        slower = model.logits(text, languages, pace / 2, codes)
    assert a.shape == (1, 13, 21)
    assert torch.allclose(a[:, :8], b[:, :8], atol=1e-6) and not torch.allclose(a[:, 8], b[:, 8], atol=1e-3)
    assert ((a - slower).abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("padding", ["masked", "fixed"])
def test_t2s_generation_is_the_same_with_and_without_its_cache(padding: str) -> None:
    model = t2s(padding=padding)
    given = spoken("hello there", "yes")
    with_cache, without = (model.generate(*given, GREEDY, cached=cached) for cached in (True, False))
    assert torch.equal(with_cache.codes, without.codes) and torch.equal(with_cache.lengths, without.lengths)
    assert len(with_cache.codes[0].unique()) > 1
    options = TokenSamplingConfig(temperature=1.0, top_k=9)
    drawn = [
        model.generate(*given, options, cached=c, generators=[torch.Generator().manual_seed(i) for i in (1, 2)])
        for c in (True, False)
    ]
    assert torch.equal(drawn[0].codes, drawn[1].codes)
    assert len(drawn[0].codes[0].unique()) > 5


def test_greedy_codes_are_the_likeliest_by_the_logits_that_training_sees() -> None:
    model = t2s()
    given = spoken("hello there")
    written = model.generate(*given, GREEDY)
    n = int(written.lengths)
    with torch.no_grad():
        likeliest = model.logits(*given, written.codes).argmax(-1)
    assert likeliest[0, :n].tolist() == written.codes[0].tolist()
    assert bool(written.ended) == (n < 63)
    if written.ended:
        assert likeliest[0, n] == 20


@pytest.mark.parametrize("cfg", [0.0, 1.0])
@pytest.mark.parametrize("padding", ["masked", "fixed"])
@pytest.mark.parametrize("causal", [True, False])
def test_t2s_items_of_a_batch_get_what_they_get_alone(padding: str, causal: bool, cfg: float) -> None:
    model = t2s(padding=padding, causal_encoder=causal)
    texts = ("hello there, all of you", "yes", "no, never")
    prompts = [random_codes(n, 20, seed=n) for n in (3, 0, 9)]
    options = TokenSamplingConfig(temperature=0.8, cfg=cfg)

    def run(which: list[int]) -> Any:
        generators = [torch.Generator().manual_seed(i) for i in which]
        prompt = padded(*(prompts[i] for i in which))
        return model.generate(
            *spoken(*(texts[i] for i in which)), options, prompt=prompt, limit=30, generators=generators
        )

    together = run([0, 1, 2])
    for i in range(3):
        alone = run([i])
        n = int(alone.lengths)
        assert int(together.lengths[i]) == n and bool(together.ended[i]) == bool(alone.ended)
        assert together.codes[i, :n].tolist() == alone.codes[0].tolist()
        assert (together.codes[i, n:] == PADDING).all()


def test_a_prompt_is_continued() -> None:
    model = t2s()
    given = spoken("hello there")
    whole = model.generate(*given, GREEDY)
    rest = model.generate(*given, GREEDY, prompt=whole.codes[:, :5])
    assert rest.codes.tolist() == whole.codes[:, 5:].tolist()
    other = model.generate(*given, GREEDY, prompt=(whole.codes[:, :5] + 3) % 20)
    assert other.codes.tolist() != rest.codes.tolist()


def test_speech_without_an_end_stops_at_the_limit_and_says_so() -> None:
    model = t2s()
    with torch.no_grad():
        model.special_embed.weight.zero_()
    written = model.generate(*spoken("hello"), GREEDY, limit=7)
    assert written.lengths.item() == 7 and not written.ended.item()
    with torch.no_grad():  # and with an end that is always likeliest it says nothing
        model.special_embed.weight.copy_(1e3 * torch.ones_like(model.special_embed.weight))
        model.decoder.norm.weight.zero_()
        model.decoder.norm.bias.fill_(1.0)
    written = model.generate(*spoken("hello", "a"), GREEDY, limit=7)
    assert written.lengths.tolist() == [0, 0] and written.ended.all() and written.codes.shape == (2, 0)


def test_too_long_is_refused_not_cut() -> None:
    model = t2s()
    with pytest.raises(ValueError, match="text of 39 bytes; this model reads at most 38 at once"):
        model.generate(*spoken("x" * 39))
    model.generate(*spoken("x" * 38), GREEDY, limit=1)
    with pytest.raises(ValueError, match="limit is 60 codes after a prompt of 4; it must be from 1 to 59"):
        model.generate(*spoken("x"), prompt=random_codes(4, 20)[None], limit=60)
    with pytest.raises(ValueError, match="64 codes; this model writes at most 63 at once"):
        model.logits(*spoken("x"), random_codes(64, 20)[None])


def test_t2s_learns_and_its_padding_bears_no_loss() -> None:
    torch.manual_seed(0)
    model = T2S(T2S_TINY.replace(frozen_codes=True))
    text, languages, pace = spoken("abc", "defgh")
    codes = padded(random_codes(6, 20, 1), random_codes(9, 20, 2))
    wider = nn.functional.pad(codes, (0, 4), value=PADDING)
    assert torch.allclose(model.loss(text, languages, pace, codes), model.loss(text, languages, pace, wider), atol=1e-5)
    rates = model.learning_rates()
    assert "code_embed.table.weight" not in rates and rates["code_embed.project_in.weight"] == 2.5
    assert rates["decoder.blocks.0.ff.0.weight"] == 24 / 16 and rates["text_embed.weight"] == 5.0
    named = dict(model.named_parameters())
    frozen = named["code_embed.table.weight"].clone()
    optimiser = torch.optim.AdamW([{"params": [named[n]], "lr": 3e-3 * rate} for n, rate in rates.items()])
    first = float(model.loss(text, languages, pace, codes).detach())
    for _ in range(60):
        optimiser.zero_grad()
        model(text, languages, pace, codes).backward()
        optimiser.step()
    assert float(model.loss(text, languages, pace, codes)) < 0.8 * first
    assert torch.equal(frozen, named["code_embed.table.weight"])


# ---- semantic to acoustic -------------------------------------------------------------------------------------------


def test_columns_delay_each_codebook_and_come_back() -> None:
    model = s2a()
    codes = torch.arange(12).view(1, 3, 4)
    columns = model.delayed(codes, torch.tensor([4]))
    start, nothing = 17, 16
    assert columns.tolist() == [
        [
            [start, 0, 1, 2, 3, nothing, nothing],
            [start, start, 4, 5, 6, 7, nothing],
            [start, start, start, 8, 9, 10, 11],
        ]
    ]
    assert torch.equal(model.undelayed(columns, 4), codes)


def test_s2a_writes_as_many_frames_as_the_codes_last() -> None:
    model = s2a()
    semantic = padded(random_codes(12, 20, 1), random_codes(5, 20, 2))
    written = model.generate(semantic, voices(2), GREEDY)
    assert written.lengths.tolist() == [22, 9]  # 1.875 frames a code: 22.5 and 9.375, rounded
    assert written.codes.shape == (2, 3, 22)
    assert (written.codes[1, :, 9:] == PADDING).all()
    assert written.codes[0].min() >= 0 and written.codes[0].max() < 16


@pytest.mark.parametrize("padding", ["masked", "fixed"])
def test_s2a_generation_is_the_same_with_and_without_its_cache(padding: str) -> None:
    model = s2a(padding=padding)
    semantic = padded(random_codes(12, 20, 1), random_codes(5, 20, 2))
    with_cache, without = (model.generate(semantic, voices(2), GREEDY, cached=c) for c in (True, False))
    assert torch.equal(with_cache.codes, without.codes)
    assert len(with_cache.codes.unique()) > 4


def test_s2a_greedy_codes_are_the_likeliest_by_the_logits_that_training_sees() -> None:
    model = s2a()
    semantic = random_codes(12, 20, 1)[None]
    written = model.generate(semantic, voices(1), GREEDY)
    with torch.no_grad():
        logits = model.logits(semantic, voices(1), written.codes)
    assert logits.shape == (1, 3, 22, 18)
    assert torch.equal(logits[..., :16].argmax(-1), written.codes)


@pytest.mark.parametrize("cfg", [0.0, 1.0])
@pytest.mark.parametrize("padding", ["masked", "fixed"])
@pytest.mark.parametrize("causal", [True, False])
def test_s2a_items_of_a_batch_get_what_they_get_alone(padding: str, causal: bool, cfg: float) -> None:
    model = s2a(padding=padding, causal_encoder=causal)
    semantic = [random_codes(n, 20, n) for n in (12, 5, 9)]
    prompts = [torch.stack([random_codes(n, 16, n + q) for q in range(3)]) for n in (4, 0, 7)]
    options = TokenSamplingConfig(temperature=0.8, top_k=6, cfg=cfg)

    def run(which: list[int]) -> Any:
        return model.generate(
            padded(*(semantic[i] for i in which)),
            voices(3)[which],
            options,
            prompt=padded(*(prompts[i] for i in which)),
            generators=[torch.Generator().manual_seed(i) for i in which],
        )

    together = run([0, 1, 2])
    for i in range(3):
        alone = run([i])
        n = int(alone.lengths)
        assert int(together.lengths[i]) == n
        assert together.codes[i, :, :n].tolist() == alone.codes[0].tolist()


def test_an_acoustic_prompt_is_continued_in_all_its_codebooks() -> None:
    model = s2a()
    semantic = random_codes(12, 20, 1)[None]
    whole = model.generate(semantic, voices(1), GREEDY)
    rest = model.generate(semantic, voices(1), GREEDY, prompt=whole.codes[:, :, :6])
    assert rest.lengths.tolist() == [16] and torch.equal(rest.codes, whole.codes[:, :, 6:])
    changed = whole.codes[:, :, :6].clone()
    changed[:, 2, 5] = (changed[:, 2, 5] + 1) % 16  # the last of the last codebook, which is written latest
    with torch.no_grad():
        full = torch.cat((changed, whole.codes[:, :, 6:]), -1)
        observed = (model.logits(semantic, voices(1), full) - model.logits(semantic, voices(1), whole.codes)).abs()
    assert observed[0, 0, :8].max() < 1e-5 < 1e-3 < observed[0, 0, 8:].max()
    with pytest.raises(ValueError, match=r"prompt of \[22\] frames in speech of \[22\]; it must be shorter"):
        model.generate(semantic, voices(1), prompt=whole.codes)


def test_the_voice_counts_and_its_loudness_does_not() -> None:
    model = s2a()
    semantic, codes = random_codes(8, 20, 1)[None], torch.stack([random_codes(15, 16, q) for q in range(3)])[None]
    one, two = voices(2).split(1)
    with torch.no_grad():
        a, b, c = (model.logits(semantic, voice, codes) for voice in (one, 7 * one, two))
    assert torch.allclose(a, b, atol=1e-5) and not torch.allclose(a, c, atol=1e-3)


def test_s2a_learns() -> None:
    torch.manual_seed(0)
    model = S2A(S2A_TINY.replace(semantic_width=6, code_width=4))
    semantic = padded(random_codes(8, 20, 1), random_codes(5, 20, 2))
    codes = padded(
        torch.stack([random_codes(15, 16, q) for q in range(3)]),
        torch.stack([random_codes(9, 16, q) for q in range(3)]),
    )
    rates = model.learning_rates()
    named = dict(model.named_parameters())
    optimiser = torch.optim.AdamW([{"params": [named[n]], "lr": 3e-3 * rate} for n, rate in rates.items()])
    first = float(model.loss(semantic, voices(2), codes))
    for _ in range(60):
        optimiser.zero_grad()
        model(semantic, voices(2), codes).backward()
        optimiser.step()
    assert float(model.loss(semantic, voices(2), codes)) < 0.5 * first


def test_dropout_is_for_training_alone() -> None:
    model, plain = s2a(dropout=0.5), s2a()
    plain.load_state_dict(model.state_dict())
    given = torch.arange(12)[None] % 20, torch.randn(1, 5), torch.randint(16, (1, 3, 22))
    assert torch.equal(model.logits(*given), plain.logits(*given))
    model.train()
    assert not torch.equal(model.logits(*given), model.logits(*given))


def test_s2a_refuses_what_does_not_fit() -> None:
    model = s2a()
    with pytest.raises(ValueError, match="31 semantic codes; this model reads at most 30 at once"):
        model.generate(random_codes(31, 20)[None], voices(1))
    with pytest.raises(ValueError, match="codes of 2 codebooks; this model writes 3"):
        model.logits(random_codes(4, 20)[None], voices(1), torch.zeros(1, 2, 7, dtype=torch.long))


# ---- guidance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["masked", "fixed"])
@pytest.mark.parametrize("cached", [True, False])
def test_guided_codes_lead_away_from_those_of_hidden_input(padding: str, cached: bool) -> None:
    options, size = GREEDY.replace(cfg=1.5), 22
    model = t2s(padding=padding)
    text, languages, pace = spoken("hello there")
    written = model.generate(text, languages, pace, options, limit=size, cached=cached)
    with torch.no_grad():
        informed, blank = (model.logits(ids, languages, pace, written.codes) for ids in (text, torch.zeros_like(text)))
    n = int(written.lengths)
    assert (informed + 1.5 * (informed - blank)).argmax(-1)[0, :n].tolist() == written.codes[0].tolist()
    assert informed.argmax(-1)[0, :n].tolist() != written.codes[0].tolist()

    other = s2a(padding=padding)
    semantic = random_codes(12, 20, 1)[None]
    codes = other.generate(semantic, voices(1), options, cached=cached).codes
    with torch.no_grad():
        informed, blank = (
            other.logits(ids, voices(1), codes)[..., :16] for ids in (semantic, torch.full_like(semantic, 20))
        )
    assert torch.equal((informed + 1.5 * (informed - blank)).argmax(-1), codes)
    assert not torch.equal(informed.argmax(-1), codes)


def test_the_finer_codebooks_may_go_without_guidance() -> None:
    model, semantic = s2a(), random_codes(12, 20, 1)[None]
    codes = model.generate(semantic, voices(1), GREEDY.replace(cfg=1.5, cfg_codebooks=1)).codes
    with torch.no_grad():
        informed, blank = (
            model.logits(ids, voices(1), codes)[..., :16] for ids in (semantic, torch.full_like(semantic, 20))
        )
    led = informed + 1.5 * (informed - blank)
    assert torch.equal(torch.cat((led[:, :1], informed[:, 1:]), 1).argmax(-1), codes)
    assert not torch.equal(led.argmax(-1), codes) and not torch.equal(informed.argmax(-1), codes)


# ---- drawing --------------------------------------------------------------------------------------------------------


def test_tokens_are_drawn_by_their_likelihood_among_the_top() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(1, 4000, 4)
    draws = Draws([torch.Generator().manual_seed(1)], (1, 4000, 4), torch.device("cpu"))
    drawn = choose(logits, TokenSamplingConfig(temperature=2.0, top_k=3), draws)
    share = torch.bincount(drawn[0], minlength=4) / 4000
    wanted = torch.tensor([2.0, 1.0, 0.0]).div(2).softmax(0)
    assert share[3] == 0 and (share[:3] - wanted).abs().max() < 0.03
    with pytest.raises(ValueError, match="1 generators for 2 items"):
        Draws([torch.Generator()], (2, 1, 4), torch.device("cpu"))


def test_without_generators_the_seed_of_torch_decides() -> None:
    model = t2s()
    options = TokenSamplingConfig(temperature=1.0)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(model.generate(*spoken("hello"), options, limit=20).codes.tolist())
    assert runs[0] == runs[1] != runs[2]


def test_shifted_drops_each_items_own_beginning() -> None:
    values = torch.arange(8).view(2, 4)
    assert shifted(values, torch.tensor([1, 3]), 3).tolist() == [[1, 2, 3], [7, PADDING, PADDING]]


# ---- published files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"weights": torch.zeros(2)}, "not a published WhisperSpeech model, it has no config and state_dict"),
        ({"config": {"n_head": 2}, "state_dict": {"x": torch.zeros(2)}}, "'language_embed.weight' is missing"),
    ],
)
def test_a_file_that_is_no_published_model_is_refused(tmp_path: Path, spec: Any, complaint: str) -> None:
    path = tmp_path / "t2s-other.model"
    torch.save(spec, path)
    with pytest.raises(ValueError, match=complaint) as error:
        load_t2s(path)
    assert str(path) in str(error.value)


def test_early_published_models_are_refused_by_what_they_lack(tmp_path: Path) -> None:
    path = tmp_path / "s2a-early.model"
    spec = {"config": {"n_head": 2, "stoks_len": 1500}, "tunables": {}, "state_dict": {"x": torch.zeros(2)}}
    torch.save(spec, path)
    with pytest.raises(ValueError, match="without rotary positions; such early models are not supported"):
        load_s2a(path)
    torch.save({**spec, "tunables": {"rope": True}}, path)
    with pytest.raises(ValueError, match="1500 semantic codes in 30 s; only 750 are supported"):
        load_s2a(path)


@pytest.mark.slow
@pytest.mark.parametrize("options", [GREEDY, GREEDY.replace(cfg=1.0)])
def test_the_compiled_step_writes_the_same(options: TokenSamplingConfig) -> None:
    for model, given in (
        (t2s(), spoken("hello there", "yes")),
        (s2a(), (padded(random_codes(12, 20, 1), random_codes(5, 20, 2)), voices(2))),
    ):
        before = model.generate(*given, options)
        model.compile_step()
        after = model.generate(*given, options)
        assert torch.equal(before.codes, after.codes) and torch.equal(before.lengths, after.lengths)
