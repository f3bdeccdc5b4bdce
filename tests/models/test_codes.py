"""The channel of semantic codes of nanospeech: silent at the start, at its own rate, apart from the text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.nanospeech import CONFIGS, TINY, batch, randomised, sampled

from vivavoce.models.nanospeech_torch import CodeEncoder, Nanospeech

CODED = CONFIGS["codes"]
torch.set_num_threads(1)


def test_a_new_channel_changes_nothing_without_codes() -> None:
    plain, coded = Nanospeech(CODED.replace(codes=0)), Nanospeech(CODED)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    missing = coded.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(name.startswith("transformer.code_encoder.") for name in missing)
    items = batch(CODED)
    without = {name: value for name, value in items.items() if name != "codes"}
    assert torch.equal(sampled(coded.eval(), without), sampled(plain.eval(), without))


def test_codes_that_are_encoded_as_the_text_is_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, items = randomised(Nanospeech(CODED)), batch(CODED)
    without = {name: value for name, value in items.items() if name != "codes"}
    transformer = model.transformer
    kept = torch.ones(3)
    lengths = items["lengths"]
    of_text = {name: items[name] for name in ("durations", "languages", "phones") if name in items}
    said = transformer.encode_text(items["text"], lengths, int(lengths.max()), **of_text, keep_text=kept)
    monkeypatch.setattr(transformer.code_encoder, "forward", lambda *_: said)
    wanted = sampled(model, without, cfg=0.0)
    assert torch.allclose(sampled(model, items, cfg=0.0), wanted, atol=1e-5)
    assert torch.allclose(sampled(model, items, cfg=0.0, keep_text=torch.zeros(3)), wanted, atol=1e-5)


def test_the_encoder_of_the_codes_learns_to_say_what_the_text_says() -> None:
    torch.manual_seed(0)
    model, items = Nanospeech(CODED), batch(CODED)
    of_text = {name: items[name] for name in ("durations", "languages", "phones") if name in items}
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    found = []
    for _ in range(60):
        loss = model.imitation(items["text"], items["lengths"], items["codes"], **of_text)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        found.append(loss.item())
    assert found[0] > 0.9 and found[-1] < 0.5 * found[0]
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned and all(name.startswith("transformer.code_encoder.") for name in learned)
    given = {name: value for name, value in items.items() if name != "noise"}
    whole = model.loss(items["noise"], **given, drop=0.0, imitation=2.0, imitation_only=True)
    assert whole.item() == pytest.approx(2 * found[-1], rel=0.3)


def test_each_token_gets_the_code_at_its_middle() -> None:
    encoder = randomised(CodeEncoder(CODED))
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.contract.weight)  # a block looks at its neighbours
        torch.nn.init.zeros_(block.contract.bias)
    torch.nn.init.zeros_(encoder.place.weight)
    codes = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8]])
    encoded = encoder(codes, 17, torch.ones(1))[0]
    each = [encoder(torch.tensor([[code]]), 1, torch.ones(1))[0, 0] for code in range(9)]
    for token, vector in enumerate(encoded):
        code = int((token + 0.5) * 2 / 93.75 * 25)  # two frames a token
        assert torch.allclose(vector, each[min(code, 8)], atol=1e-5), token
    assert not encoder(codes, 17, torch.zeros(1)).any()


def test_codes_alone_speak_without_any_trace_of_the_text() -> None:
    model, items = randomised(Nanospeech(CODED)), batch(CODED)
    alone = sampled(model, items, keep_text=torch.zeros(3))
    other = {**items, "text": torch.zeros(3, 1).long(), "durations": torch.ones(3, 1)}
    assert torch.allclose(sampled(model, other, keep_text=torch.zeros(3)), alone, atol=1e-5)
    assert not torch.allclose(sampled(model, items), alone, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "text", "codes"),
    [
        ({}, 1.0, 1.0),
        ({"drop_text": 0.4, "drop_codes": 0.3}, 0.6, 0.7),
        ({"drop": 0.5, "drop_text": 0.4, "drop_codes": 0.3}, 0.3, 0.35),
    ],
)
def test_training_hides_text_and_codes_of_some_samples(
    settings: dict[str, float], text: float, codes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, count = Nanospeech(CODED), 2000
    given: dict[str, Any] = {}

    def forward(*_: Any, **conditions: Any) -> torch.Tensor:
        given.update(conditions)
        return torch.zeros(count, 2, 20)

    monkeypatch.setattr(model.transformer, "forward", forward)
    torch.manual_seed(0)
    ids = torch.zeros(count, 3).long()
    model.loss(torch.zeros(count, 2, 20), ids, torch.full((count,), 2), codes=ids, **{"drop": 0.0, **settings})
    kept = given["keep_text"].float().mean(), given["keep_codes"].float().mean()
    assert kept == (pytest.approx(text, abs=0.05), pytest.approx(codes, abs=0.05))
    if settings:
        both = (given["keep_text"] & given["keep_codes"]).float().mean()
        assert both == pytest.approx((1 - settings.get("drop", 0.0)) * 0.3, abs=0.05)  # never both hidden


def test_some_codes_are_wrong_in_training_and_padding_never_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = Nanospeech(CODED), {}

    def forward(*_: Any, **conditions: Any) -> torch.Tensor:
        given.update(conditions)
        return torch.zeros(2, 2, 20)

    monkeypatch.setattr(model.transformer, "forward", forward)
    codes = torch.full((2, 4000), 3)
    codes[:, 3000:] = -1
    model.loss(torch.zeros(2, 2, 20), codes[:, :3], torch.tensor([2, 2]), codes=codes, wrong_codes=0.1)
    changed = given["codes"] != codes
    assert float(changed[:, :3000].float().mean()) == pytest.approx(0.1 * 8 / 9, abs=0.02)  # one in nine is right
    assert not changed[:, 3000:].any()


def test_codes_need_text_that_is_stretched() -> None:
    with pytest.raises(ValueError, match="codes is 9; it must be 0 with padded text or an audio prompt"):
        TINY.replace(codes=9)
