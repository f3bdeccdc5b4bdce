"""T2S in step with the text: batches, the schedule of its passes, training; MLX against PyTorch."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from helpers.nanospeech import characters, randomised

from vivavoce.models.masked_t2s_torch import MASKED, MaskedT2S
from vivavoce.models.whisperspeech import MaskedSamplingConfig, MaskedT2SConfig, left_masked

TINY = MaskedT2SConfig(
    vocab_size=11, dim=32, depth=2, heads=2, head_dim=16, ff_mult=2, text_dim=24, text_layers=2, speaker_dim=6,
    codes=9, code_width=5, languages=("en", "es"), phones=("a", "ˈa", "b"),
)  # fmt: skip
torch.set_num_threads(1)


def batch(seed: int = 0) -> dict[str, Any]:
    """Three items of different lengths; what is padding holds rubbish."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "text": characters(6, 17, 9),
        "lengths": torch.tensor([12, 23, 7]),
        "durations": 0.5 + 2 * torch.rand(3, 17, generator=draw),
        "speaker": torch.randn(3, 6, generator=draw),
        "languages": torch.randint(0, 2, (3, 17), generator=draw),
        "phones": torch.randint(0, 5, (3, 17, 2), generator=draw),
    }


def alone(items: dict[str, Any], i: int) -> dict[str, Any]:
    size = int((items["text"][i] >= 0).sum())
    one = {name: value[i : i + 1] for name, value in items.items()}
    return {n: v[:, :size] if n in ("text", "durations", "languages", "phones") else v for n, v in one.items()}


@pytest.mark.parametrize("passes", [1, 4])
def test_each_item_of_a_batch_gets_what_it_gets_alone(passes: int) -> None:
    model, items = randomised(MaskedT2S(TINY)), batch()
    noise = torch.from_numpy(np.random.default_rng(0).gumbel(size=(passes, 3, 23, 9))).float()
    together = model.generate(**items, passes=passes, noise=noise, temperature=1.0)
    for i, length in enumerate(items["lengths"].tolist()):
        single = model.generate(**alone(items, i), passes=passes, noise=noise[:, i : i + 1], temperature=1.0)
        assert torch.equal(single[0], together[i, :length])
        assert (single >= 0).all() and (together[i, length:] == MASKED).all()
        assert len(single.unique()) > 2


def test_every_condition_has_an_effect() -> None:
    model, items = randomised(MaskedT2S(TINY)), batch()

    def logits(given: dict[str, Any]) -> torch.Tensor:
        names = ("text", "durations", "languages", "phones")
        encoded = model.encode_text(*(given[n] for n in names[:2]), 23, *(given[n] for n in names[2:]))
        nothing = torch.full((3, 23), MASKED)
        return model.logits(nothing, given["lengths"], encoded, given["speaker"])

    before = logits(items)
    changes = {
        "text": torch.where(items["text"] >= 0, (items["text"] + 3) % 11, -1),
        "durations": items["durations"].flip(1),
        "speaker": -items["speaker"],
        "languages": 1 - items["languages"],
        "phones": items["phones"].flip(2),
    }
    for name, value in changes.items():
        assert not torch.allclose(logits({**items, name: value}), before, atol=1e-3), name


def test_each_pass_keeps_the_codes_it_is_most_certain_of(monkeypatch: pytest.MonkeyPatch) -> None:
    model, items = randomised(MaskedT2S(TINY)), batch()
    seen: list[torch.Tensor] = []
    plain = model.logits
    monkeypatch.setattr(model, "logits", lambda codes, *rest: seen.append(codes) or plain(codes, *rest))
    result = model.generate(**items, passes=4)
    known = [int((codes[1] != MASKED).sum()) for codes in seen]
    assert known == [0, 23 - 21, 23 - 16, 23 - 8]  # 23 cos(π/2 · 1/4), … rounded down
    for codes in seen:
        kept = codes != MASKED
        assert torch.equal(codes[kept], result[kept])
    encoded = model.encode_text(items["text"], items["durations"], 23, items["languages"], items["phones"])
    first = plain(seen[0], items["lengths"], encoded, items["speaker"]).softmax(-1).amax(-1)[1]
    assert set((seen[1][1] != MASKED).nonzero()[:, 0].tolist()) == set(first.topk(2).indices.tolist())


def test_every_pass_fills_something_and_the_last_one_the_rest() -> None:
    for length in (1, 2, 5, 750):
        left = [left_masked(length, done, 4) for done in range(5)]
        assert left[0] == length and left[-1] == 0 and left == sorted(left, reverse=True)
    with pytest.raises(ValueError, match="passes is 0; it must be from 1 to 64"):
        MaskedSamplingConfig(passes=0)


def test_the_loss_is_of_the_masked_codes_alone_and_every_item_has_one() -> None:
    model, items = randomised(MaskedT2S(TINY)), batch()
    codes = torch.randint(0, 9, (3, 23))
    for row, length in zip(codes, items.pop("lengths"), strict=True):
        row[length:] = MASKED
    losses, right, hidden = model.masked_scores(codes, **items, share=torch.tensor([0.0, 0.5, 1.0]))
    assert hidden.sum(1).tolist()[::2] == [1, 7] and 2 < int(hidden[1].sum()) < 21
    assert not hidden[codes == MASKED].any() and not right[~hidden].any()
    draw = torch.rand(3, 23)
    fixed = {"share": torch.tensor([0.5, 0.5, 0.5]), "draw": draw}
    losses, _, hidden = model.masked_scores(codes, **items, **fixed)
    assert model(codes, **items, **fixed).item() == pytest.approx(losses[hidden].mean().item(), rel=1e-5)


def test_it_learns_a_sound_for_each_letter() -> None:
    torch.manual_seed(0)
    model = MaskedT2S(TINY.replace(languages=(), phones=(), speaker_dim=0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def utterances() -> dict[str, torch.Tensor]:
        text, durations = torch.randint(0, 9, (16, 8)), torch.randint(1, 4, (16, 8))
        rows = [t.repeat_interleave(d) for t, d in zip(text, durations, strict=True)]
        codes = torch.nn.utils.rnn.pad_sequence(rows, True, MASKED)
        return {"codes": codes, "text": text, "durations": durations.float()}

    for _ in range(60):
        loss = model(**utterances())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = utterances()
    made = model.eval().generate(new["text"], (new["codes"] >= 0).sum(1), new["durations"])
    right = (made == new["codes"])[new["codes"] >= 0].float().mean()
    assert right > 0.9


@pytest.mark.skipif(not importlib.util.find_spec("mlx"), reason="mlx is missing")
def test_mlx_agrees() -> None:
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    from vivavoce.checkpoints.weights_mlx import swap_layout
    from vivavoce.models import masked_t2s_mlx

    model, items = randomised(MaskedT2S(TINY)), batch()
    twin = masked_t2s_mlx.MaskedT2S(TINY)
    weights = {n: mx.array(p.detach().numpy()) for n, p in model.state_dict().items()}
    twin.load_weights(list(swap_layout(weights).items()))
    twin.eval()
    theirs = {
        n: mx.array(v.numpy().astype(np.int32) if v.dtype == torch.int64 else v.numpy()) for n, v in items.items()
    }
    noise = np.random.default_rng(0).gumbel(size=(4, 3, 23, 9)).astype(np.float32)
    expected = model.generate(**items, noise=torch.from_numpy(noise), temperature=1.0)
    assert np.array_equal(np.array(twin.generate(**theirs, noise=mx.array(noise), temperature=1.0)), expected.numpy())

    codes = np.where(np.arange(23) < items["lengths"].numpy()[:, None], 3, MASKED)
    share, draw = np.float32([0.2, 0.5, 1.0]), np.random.default_rng(1).random((3, 23), dtype=np.float32)
    items.pop("lengths"), theirs.pop("lengths")
    loss = model(torch.from_numpy(codes), **items, share=torch.from_numpy(share), draw=torch.from_numpy(draw))
    loss.backward()
    given = {"share": mx.array(share), "draw": mx.array(draw), **theirs}
    twin.unfreeze()
    value, gradients = nn.value_and_grad(twin, lambda: twin(mx.array(codes.astype(np.int32)), **given))()
    assert value.item() == pytest.approx(loss.item(), abs=1e-4)
    found = swap_layout(dict(tree_flatten(gradients)))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert np.abs(np.array(found[name]) - parameter.grad.numpy()).max() < 1e-3, name
