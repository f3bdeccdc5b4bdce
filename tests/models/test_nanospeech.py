"""The nanospeech engine without any trained weights: batches, alignment, loss, sampling, precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.nanospeech import CONFIGS, EVERY_CONFIG, TINY, M, alone, batch, characters, randomised, sampled
from torch import Tensor, nn

from vivavoce.config import MelConfig
from vivavoce.models import solvers
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.nanospeech_torch import (
    CharacterDurations,
    DurationTransformer,
    Nanospeech,
    character_index,
    duration_model,
    length_mask,
    rotary_table,
    rotate,
)

torch.set_num_threads(1)


# ---- batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cfg", [0.0, 2.0])
@EVERY_CONFIG
def test_each_item_of_a_batch_gets_what_it_gets_alone(config: NanospeechConfig, cfg: float) -> None:
    model, items = randomised(Nanospeech(config)), batch(config)
    together = sampled(model, items, cfg=cfg)
    for i, length in enumerate(items["lengths"].tolist()):
        single = sampled(model, alone(items, i), cfg=cfg)
        assert single.shape == (1, length, M)
        assert torch.isfinite(single).all() and single.std() > 0.1
        assert (together[i, :length] - single[0]).abs().max() < 1e-4


@EVERY_CONFIG
def test_every_condition_has_an_effect(config: NanospeechConfig) -> None:
    model, items = randomised(Nanospeech(config)), batch(config)
    before = sampled(model, items)
    changes = {
        "text": items["text"].roll(1, 1),
        "durations": items.get("durations", torch.zeros(1)).flip(1) if "durations" in items else None,
        "prompt": items["prompt"] + 1 if "prompt" in items else None,
        "prompt_lengths": items["prompt_lengths"] - 2 if "prompt" in items else None,
        "speaker": -items["speaker"] if "speaker" in items else None,
        "languages": (items["languages"] + 1) % 3 if "languages" in items else None,
        "phones": items["phones"].flip(2) if "phones" in items else None,
        "prosody": -items["prosody"] if "prosody" in items else None,
        "codes": torch.where(items["codes"] >= 0, (items["codes"] + 1) % 9, -1) if "codes" in items else None,
    }
    for name, value in changes.items():
        if name in items:
            text = items["text"].clone()
            if name == "text":
                value = torch.where(text >= 0, (text + 3) % 11, text)
            assert not torch.allclose(sampled(model, {**items, name: value}), before, atol=1e-3), name


def test_reference_and_result_are_log_mels_whatever_scale_the_network_sees() -> None:
    """The same weights without a scale give the same, when reference and result are scaled by hand."""
    scaled = randomised(Nanospeech(TINY))
    plain = randomised(Nanospeech(TINY.replace(mel_mean=0.0, mel_scale=1.0)))
    items = batch(TINY)
    by_hand = sampled(plain, {**items, "prompt": (items["prompt"] + 4) * 0.5}) / 0.5 - 4
    assert torch.allclose(sampled(scaled, items), by_hand, atol=1e-4)


def test_durations_of_padding_and_frames_after_the_reference_have_no_effect() -> None:
    config = CONFIGS["durations, prompt, single frames"]
    model, items = randomised(Nanospeech(config)), batch(config)
    durations = torch.where(items["text"] >= 0, items["durations"], 99.0)
    prompt = torch.where(length_mask(items["prompt_lengths"], 15)[..., None], items["prompt"], 7.0)
    same = sampled(model, {**items, "durations": durations, "prompt": prompt})
    assert torch.allclose(same, sampled(model, items), atol=1e-5)


# ---- text over frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "tokens"), [(1, 1), (7, 40), (10, 25), (13, 13), (40, 7), (64, 96), (97, 1000)])
def test_equal_durations_are_average_upsampling(count: int, tokens: int) -> None:
    for each in (1.0, 3.0):
        index, share = character_index(torch.full((1, count), each), torch.tensor([tokens]), tokens + 3)
        middle = [i + 0.5 for i in range(tokens)]  # 25 tokens put the middle of some on the edge of a tenth
        assert index[0, :tokens].tolist() == [math.floor(m * count / tokens) for m in middle]
        expected = [m * count / tokens % 1 for m in middle]
        near = (share[0, :tokens] - torch.tensor(expected)).abs()
        assert torch.minimum(near, 1 - near).max() < 2e-3  # a share of 0 and of 1 are the same place


def test_given_durations_decide_and_zero_gives_nothing() -> None:
    durations = torch.tensor([[2.0, 0.0, 3.0, 0.0, 1.0], [0.0, 4.0, 2.0, 0.0, 0.0]])
    index, share = character_index(durations, torch.tensor([6, 6]), 6)
    assert index.tolist() == [[0, 0, 2, 2, 2, 4], [1, 1, 1, 1, 2, 2]]
    assert share[0].tolist() == pytest.approx([0.25, 0.75, 1 / 6, 0.5, 5 / 6, 0.5])
    assert share[1].tolist() == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8, 0.25, 0.75])


def test_durations_are_stretched_to_the_tokens() -> None:
    index, _ = character_index(torch.tensor([[1.0, 3.0]]), torch.tensor([8]), 8)
    assert index.tolist() == [[0, 0, 1, 1, 1, 1, 1, 1]]
    index, _ = character_index(torch.tensor([[10.0, 30.0]]), torch.tensor([8]), 8)
    assert index.tolist() == [[0, 0, 1, 1, 1, 1, 1, 1]]


def test_durations_of_nothing_at_all_break_nothing() -> None:
    index, share = character_index(torch.zeros(1, 3), torch.tensor([4]), 4)
    assert index.min() >= 0 and index.max() <= 2 and torch.isfinite(share).all()


# ---- rotary embedding ---------------------------------------------------------------------------------------------


def test_turned_vectors_know_only_their_distance() -> None:
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)
    table = rotary_table(30, 16, torch.device("cpu"))
    turned = [rotate(x.expand(1, 1, 30, 16), table)[0, 0] for x in (query, key)]
    product = turned[0] @ turned[1].T  # [30, 30]
    for distance in (-9, 0, 4):
        assert product.diagonal(distance).std() < 1e-4
    assert product[0].std() > 1e-2
    assert torch.allclose(turned[0].norm(dim=-1), query.norm().expand(30), atol=1e-4)


def test_the_published_rotary_turns_only_the_first_head() -> None:
    def made(heads: int, rotary: str) -> Tensor:
        config = TINY.replace(heads=heads, rotary=rotary)
        return sampled(randomised(Nanospeech(config)), batch(config))

    assert not torch.allclose(made(3, "first_head"), made(3, "all_heads"), atol=1e-3)
    assert torch.equal(made(1, "first_head"), made(1, "all_heads"))


# ---- loss ---------------------------------------------------------------------------------------------------------


CONDITIONS = ("durations", "speaker", "languages", "phones", "prosody", "codes")


def training_batch(config: NanospeechConfig) -> dict[str, Any]:
    """A training batch, its randomness fixed."""
    items = batch(config)
    made = {"mel": torch.randn(3, 37, M, generator=torch.Generator().manual_seed(5)) * 2 - 4}
    made |= {"text": items["text"], "lengths": items["lengths"]}
    made |= {name: items[name] for name in CONDITIONS if name in items}
    if config.bandwidth:
        made["bandwidth"] = torch.tensor([8000.0, 12_000.0, 6000.0])
    made["time"] = torch.tensor([0.1, 0.5, 0.9])
    made["noise"] = torch.randn(3, 37, M, generator=torch.Generator().manual_seed(6))
    return made


@EVERY_CONFIG
def test_the_loss_falls_when_overfitting_a_batch(config: NanospeechConfig) -> None:
    torch.manual_seed(0)
    model, fixed = Nanospeech(config), training_batch(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(1)  # the same frames hidden each time
        loss = model(**fixed, drop=0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses))
    assert losses[-1] < 0.8 * losses[0]


@EVERY_CONFIG
def test_the_gradient_reaches_every_parameter(config: NanospeechConfig) -> None:
    model = randomised(Nanospeech(config))
    torch.manual_seed(3)
    loss = sum(model.loss(**training_batch(config), drop=0.0) for _ in range(3))
    if config.mean_velocity:  # only this loss has steps
        items = training_batch(config)
        x, time, end = items.pop("mel"), torch.zeros(3), torch.ones(3)
        given = {name: value for name, value in items.items() if name not in ("noise", "time")}
        loss = loss + model.mean_velocity_loss(x, time, end, torch.zeros_like(x), **given)
    loss.backward()
    # A shift of all keys cancels in the softmax, so key biases of heads that are not turned get rounding errors only.
    missed = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert missed == []


def test_a_new_model_moves_nothing() -> None:
    made = Nanospeech(TINY).eval()
    items = batch(TINY)
    assert torch.allclose(sampled(made, items), made.unscaled(items["noise"]), atol=1e-6)
    expected = (made.scaled(training_batch(TINY)["mel"]) - training_batch(TINY)["noise"]).square()
    assert made.loss(**training_batch(TINY)).item() == pytest.approx(expected.mean().item(), rel=0.2)


def test_padding_has_no_part_in_the_loss() -> None:
    model, fixed = randomised(Nanospeech(CONFIGS["durations"])), training_batch(CONFIGS["durations"])
    loss = model.loss(**fixed, drop=0.0)
    outside = ~length_mask(fixed["lengths"], 37)[..., None]
    changed = {**fixed, "mel": fixed["mel"].masked_fill(outside, 50.0)}
    assert model.loss(**changed, drop=0.0).item() == pytest.approx(loss.item(), rel=1e-5)


@EVERY_CONFIG
def test_a_dropped_condition_has_no_effect(config: NanospeechConfig) -> None:
    model, items = randomised(Nanospeech(config)), batch(config)
    other = {**items, "text": (items["text"] + 4) % 11}
    if "speaker" in items:
        other["speaker"] = -items["speaker"]
    if "prompt" in items:
        other["prompt"] = items["prompt"] + 1

    def velocity(items: dict[str, Any], keep: bool) -> Tensor:
        kept = torch.full((3,), keep)
        prompt = F.pad(items["prompt"], (0, 0, 0, 22)) if "prompt" in items else None
        with torch.inference_mode():
            return model.transformer(
                items["noise"], torch.full((3,), 0.4), items["text"], items["lengths"], prompt=prompt,
                durations=items.get("durations"), speaker=items.get("speaker"), keep_text=kept, keep_voice=kept,
            )  # fmt: skip

    inside = length_mask(items["lengths"], 37)
    assert torch.allclose(velocity(items, False)[inside], velocity(other, False)[inside], atol=1e-5)
    assert not torch.allclose(velocity(items, True)[inside], velocity(other, True)[inside], atol=1e-2)


# ---- sampling -----------------------------------------------------------------------------------------------------


@EVERY_CONFIG
def test_sampling_records_no_gradients_and_repeats_itself(config: NanospeechConfig) -> None:
    model, items = randomised(Nanospeech(config)), batch(config)
    assert all(p.requires_grad for p in model.parameters())
    first, again = sampled(model, items), sampled(model, items)
    assert not first.requires_grad and first.grad_fn is None
    assert torch.equal(first, again)
    assert not torch.allclose(first, sampled(model, {**items, "noise": -items["noise"]}), atol=0.1)


def test_guidance_moves_away_from_the_unconditioned() -> None:
    """With one Euler step the result is linear in the strength."""
    model, items = randomised(Nanospeech(TINY)), batch(TINY)
    none, one, two = (sampled(model, items, times=[0.0, 1.0], method="euler", cfg=w) for w in (0.0, 1.0, 2.0))
    assert torch.allclose(two - one, one - none, atol=1e-3)
    assert not torch.allclose(one, none, atol=1e-2)


@pytest.mark.parametrize(("cfg", "items"), [(0.0, 3), (2.0, 6)])
def test_a_step_is_one_pass_also_with_guidance(cfg: float, items: int) -> None:
    model = randomised(Nanospeech(TINY))
    passes: list[int] = []
    model.transformer.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    reported: list[float] = []
    sampled(model, batch(TINY), times=solvers.schedule(4), method="euler", cfg=cfg, progress=reported.append)
    assert passes == [items] * 4
    assert reported == [0.25, 0.5, 0.75, 1.0]


def test_a_reference_that_leaves_no_room_is_refused() -> None:
    items = batch(TINY)
    items["prompt_lengths"] = torch.tensor([11, 15, 13])
    with pytest.raises(ValueError, match=r"reference of \[11, 15, 13\] frames in speech of \[24, 37, 13\]"):
        sampled(Nanospeech(TINY), items)


def test_the_whole_reference_without_lengths() -> None:
    model, items = randomised(Nanospeech(TINY)), batch(TINY)
    items["lengths"] = torch.tensor([24, 37, 16])
    items["prompt_lengths"] = torch.tensor([15, 15, 15])
    whole = {k: v for k, v in items.items() if k != "prompt_lengths"}
    assert torch.equal(sampled(model, items), sampled(model, whole))


def test_text_longer_than_the_frames_breaks_nothing() -> None:
    for config in CONFIGS.values():
        items = {**batch(config), "text": characters(60, 50, 40)}
        wider = {
            "durations": torch.rand(3, 60),
            "languages": torch.ones(3, 60).long(),
            "phones": torch.ones(3, 60, 2).long(),
            "prosody": torch.ones(3, 60, 6),
        }
        items |= {name: value for name, value in wider.items() if name in items}
        assert torch.isfinite(sampled(randomised(Nanospeech(config)), items)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@EVERY_CONFIG
def test_half_precision_works_on_the_cpu(config: NanospeechConfig, dtype: torch.dtype) -> None:
    model, items = randomised(Nanospeech(config)), batch(config)
    exact = sampled(model, items, cfg=1.0)
    half = {k: v.to(dtype) if v.is_floating_point() and k != "durations" else v for k, v in items.items()}
    made = sampled(model.to(dtype), half, cfg=1.0)
    assert made.dtype == dtype
    inside = length_mask(items["lengths"], 37)
    error = (made.float() - exact)[inside].square().mean().sqrt() / exact[inside].std()
    assert error < (0.02 if dtype == torch.float16 else 0.15)


# ---- durations ----------------------------------------------------------------------------------------------------

CHARACTERS = DurationConfig(mel=MelConfig(n_mels=M), kind="characters", vocab_size=11, dim=24, depth=2, speaker_dim=6)
TRANSFORMER = DurationConfig(
    mel=MelConfig(n_mels=M), vocab_size=11, dim=32, depth=2, heads=2, head_dim=16, text_dim=24, text_layers=1
)


def test_the_kind_decides_the_class() -> None:
    assert isinstance(duration_model(CHARACTERS), CharacterDurations)
    assert isinstance(duration_model(TRANSFORMER), DurationTransformer)


def test_characters_of_a_batch_last_as_long_as_alone() -> None:
    model: CharacterDurations = randomised(CharacterDurations(CHARACTERS))
    text, speaker = characters(6, 17, 9), torch.randn(3, 6)
    together = model.predict(text, speaker)
    assert together.shape == (3, 17) and (together >= 0).all()
    for i, length in enumerate((6, 17, 9)):
        single = model.predict(text[i : i + 1, :length], speaker[i : i + 1])
        assert torch.allclose(together[i, :length], single[0], atol=1e-4)
        assert not together[i, length:].any()
    assert not torch.allclose(model.predict(text, -speaker), together, atol=1e-2)


def test_the_duration_loss_is_zero_where_every_span_is_right() -> None:
    model: CharacterDurations = randomised(CharacterDurations(CHARACTERS))
    text, speaker = characters(6, 17), torch.randn(2, 6)
    predicted = model.predict(text, speaker).detach()
    spans = torch.tensor([[0, 0, 1, 1, 1, 2] + 11 * [0], 9 * [0] + 8 * [1]])  # padding counts nowhere
    frames = torch.full((2, 3), -1.0)
    for i, count in enumerate((3, 2)):
        for s in range(count):
            frames[i, s] = predicted[i][(spans[i] == s) & (text[i] >= 0)].sum()
    assert model.loss(text, spans, frames, speaker=speaker).item() == pytest.approx(0, abs=1e-5)
    swapped = frames.clone()
    swapped[1, :2] = frames[1, :2].flip(0)
    assert model.loss(text, spans, swapped, speaker=speaker) > 0.01, "the totals are right, the spans are not"
    longer = torch.where(frames >= 0, frames * 2, frames)
    assert model.loss(text, spans, longer, speaker=speaker) > model.loss(text, spans, frames * 1.1, speaker=speaker)


@pytest.mark.parametrize("spans_known", [True, False])
def test_durations_are_learnt_from_spans_and_from_totals_alone(spans_known: bool) -> None:
    torch.manual_seed(0)
    model = CharacterDurations(CHARACTERS.replace(speaker_dim=0))
    text = characters(6, 8)
    if spans_known:
        spans = torch.tensor([[0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]])
        frames = torch.tensor([[12.0, 30.0], [40.0, 8.0]])
    else:
        spans, frames = torch.zeros(2, 8, dtype=torch.long), torch.tensor([[42.0], [48.0]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = model(text, spans, frames)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sums = torch.zeros_like(frames).scatter_add(1, spans, model.predict(text))
    assert (sums / frames - 1).abs().max() < 0.15


def test_seconds_of_a_batch_are_what_they_are_alone() -> None:
    model: DurationTransformer = randomised(DurationTransformer(TRANSFORMER))
    mel, text, lengths = torch.randn(3, 40, M), characters(6, 17, 9), (25, 40, 12)
    together = model.predict(mel, text, torch.tensor(lengths))
    assert together.shape == (3,) and (together > 0).all() and together.std() > 1e-3
    for i, (length, size) in enumerate(zip(lengths, (6, 17, 9), strict=True)):
        single = model.predict(mel[i : i + 1, :length], text[i : i + 1, :size], torch.tensor([length]))
        assert single.item() == pytest.approx(together[i].item(), rel=1e-4)


def test_hidden_frames_are_not_seen_by_the_duration_model() -> None:
    model: DurationTransformer = randomised(DurationTransformer(TRANSFORMER))
    mel, text, lengths = torch.randn(1, 40, M), characters(17), torch.tensor([40])
    known = torch.tensor([22])
    other = mel.clone()
    other[:, 22:] = 5.0
    assert model.predict(mel, text, lengths, known).item() == model.predict(other, text, lengths, known).item()
    assert model.predict(mel, text, lengths).item() != model.predict(other, text, lengths).item()


@pytest.mark.parametrize("config", [CHARACTERS, TRANSFORMER], ids=["characters", "transformer"])
def test_duration_gradients_reach_every_parameter(config: DurationConfig) -> None:
    model: nn.Module = randomised(duration_model(config))
    torch.manual_seed(0)
    text = characters(6, 17, 9)
    if config.kind == "characters":
        frames = torch.tensor([[300.0], [900.0], [500.0]])
        loss = model(text, torch.zeros_like(text), frames, speaker=torch.randn(3, 6))
    else:
        loss = model(torch.randn(3, 400, M), text, torch.tensor([200, 400, 300]))
    assert torch.isfinite(loss)
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


# ---- guidance that is trained in ----------------------------------------------------------------------------------


@EVERY_CONFIG
def test_with_a_teacher_the_loss_is_the_distance_to_its_guided_velocity(config: NanospeechConfig) -> None:
    teacher, student = randomised(Nanospeech(config), 1), randomised(Nanospeech(config), 1)
    losses = []
    for guidance in (2.0, 4.0):
        torch.manual_seed(0)  # the same frames hidden each time
        losses.append(student.loss(**training_batch(config), drop=0.0, teacher=teacher, guidance=guidance).item())
    apart, twice = losses
    assert apart > 1e-4 and twice == pytest.approx(4 * apart, rel=1e-3)  # a square of w (v - v_null)


def test_without_a_teacher_the_model_guides_itself() -> None:
    config = CONFIGS["durations"]
    model, given = randomised(Nanospeech(config), 1), training_batch(config)
    target, t = model.scaled(given["mel"]), given["time"][:, None, None]
    conditions = {name: given[name] for name in ("durations", "speaker")}
    inside = length_mask(given["lengths"], target.shape[1])[..., None]
    noised = (1 - t) * given["noise"] + t * target
    observed = (noised, given["time"], given["text"], given["lengths"])
    with torch.no_grad():
        v = model.transformer(*observed, **conditions)
        null = model.transformer(*observed, **conditions, keep_text=torch.zeros(3), keep_voice=torch.zeros(3))
    # where this is zero, v = u + w (u - v_null): what guidance of strength w = 3 makes of the data's velocity u
    left = v - (target - given["noise"] + 3 / 4 * (v - null))
    wanted = (left.square() * inside).sum() / inside.sum() / target.shape[2]
    assert model.loss(**given, drop=0.0, guidance=3.0).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_trained_in_guidance_needs_one_pass() -> None:
    config = CONFIGS["durations"]
    torch.manual_seed(0)
    teacher, student = randomised(Nanospeech(config), 1), randomised(Nanospeech(config), 1).train()
    given = {name: value for name, value in training_batch(config).items() if name not in ("time", "noise")}
    inputs = batch(config)

    def sampled(model: Nanospeech, cfg: float) -> Tensor:
        return model.sample(**inputs, times=solvers.schedule(4), cfg=cfg)

    wanted = sampled(teacher, 1.0)
    before = (sampled(student, 0.0) - wanted).square().mean()
    optimizer = torch.optim.Adam(student.parameters(), 2e-3)
    for _ in range(150):
        loss = student.loss(**given, drop=0.0, teacher=teacher, guidance=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is None for p in teacher.parameters())
    assert (sampled(student.eval(), 0.0) - wanted).square().mean() < 0.5 * before
