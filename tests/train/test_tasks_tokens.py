"""Training of T2S and S2A on token shards: exact resume, and what batches contain.

The slow test learns to read the language of toy_tokens.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toy_tokens import HEADER, LETTERS, SILENCE, utterance, write_tokens
from safetensors.torch import load_file

from vivavoce.checkpoints.whisperspeech_torch import load_part, read_part
from vivavoce.cli import main
from vivavoce.data.tokens import TokenItem
from vivavoce.models.semantic import SemanticConfig
from vivavoce.models.semantic_torch import Semantic
from vivavoce.models.whisperspeech import TokenSamplingConfig
from vivavoce.models.whisperspeech_torch import PADDING, S2A, T2S
from vivavoce.train.auxiliary_models import T2SWithAuxiliaryLosses, add_noise
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.export import export, write_folder
from vivavoce.train.optimizer import learning_rate
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")

SIZE = {"heads": 2, "head_dim": 8, "ff_mult": 1, "encoder_layers": 1, "decoder_layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "t2s": {**SIZE, "codes": 32, "end_code": 32, "languages": ["en", "fr"], "alignment_layer": 1},
    "s2a": {
        **SIZE, "semantic_codes": 32, "codes": 16, "quantizers": 2, "speaker_dim": 4, "frames_per_code": 2.0,
    },
}  # fmt: skip
ALL: dict[str, dict[str, Any]] = {  # everything that is drawn at random
    "t2s": {"guide": 1.0, "guide_steps": 8, "noise": 0.2, "drop": 0.2, "join": 0.3, "mix": 0.3, "cross": 0.3},
    "s2a": {"noise": 0.1, "semantic_noise": 0.2, "drop": 0.2, "join": 0.5},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tokens")
    items = [utterance(i, words=2 + i % 3, lang="fr" if i % 4 == 3 else "en") for i in range(16)]
    return [write_tokens(folder / "a", items[:8]), write_tokens(folder / "b", items[8:])]


def recipe(kind: str, model: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """A tiny run of 4 steps; `settings` that are not the recipe's own are the run's."""
    own = {name: settings.pop(name) for name in list(settings) if name in {*ALL["t2s"], *ALL["s2a"], "semantic"}}
    common = {"frames_per_batch": 250, "max_steps": 4, "warmup_steps": 2, "decay_steps": 0, "learning_rate": 1e-2}
    common |= {"ema": 0.9, "mixed_precision": "no", "workers": 0, **settings}
    return {"model": {**MODELS[kind], **(model or {})}, **own, "train": common}


def task(kind: str, **settings: Any) -> Any:
    made = load_task(kind, recipe(kind, **settings))
    made.header = HEADER
    return made


def run(
    kind: str, data: list[str], out: Path, *, minutes: Any = None, valid: Any = (), start: Any = None, **s: Any
) -> Any:
    """Train through `loop.train` and return the newest checkpoint."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.parent / f"{out.name}-recipe.json"
    config.write_text(json.dumps(recipe(kind, **s)))
    train(kind, config, data, out, minutes, valid, init_from=None if start is None else str(start))
    return torch.load(Checkpoints(out, 1).all()[-1], weights_only=True)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# ---- the same loop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["t2s", "s2a"])
@pytest.mark.parametrize("cache", [True, False], ids=["memory", "streamed"])
def test_a_resumed_run_is_the_uninterrupted_run(tmp_path: Path, shards: list[str], kind: str, cache: bool) -> None:
    whole = run(kind, shards, tmp_path / "whole", cache=cache, **ALL[kind])
    run(kind, shards, tmp_path / "parts", cache=cache, max_steps=1, **ALL[kind])
    parts = run(kind, shards, tmp_path / "parts", cache=cache, **ALL[kind])
    assert parts["step"] == whole["step"] == 4
    assert parts["recent"] == pytest.approx(whole["recent"], abs=1e-6)
    for part in ("model", "average"):
        for name, tensor in whole[part].items():
            torch.testing.assert_close(parts[part][name], tensor, rtol=0, atol=1e-6)


def test_the_learning_rate_of_each_weight_follows_the_width(tmp_path: Path, shards: list[str]) -> None:
    """muP: a layer's rate is that of one with three heads, by its fan-in; an embedding's does not depend on it."""
    values = recipe("t2s", max_steps=2)
    one = Trainer(load_task("t2s", values), shards, [], tmp_path / "run")
    one.run(None)
    groups = {id(p): group for group in one.optimizer.param_groups for p in group["params"]}
    model, now = one.model, learning_rate(1, one.config)
    assert isinstance(model, T2S)
    block = model.encoder[0]
    for parameter, factor, decay in (
        (block.ff[0].weight, 3 * 8 / 16, one.config.weight_decay),
        (model.text_embed.weight, 5.0, 0.0),
        (block.ff_norm.weight, 1.0, 0.0),
    ):
        group = groups[id(parameter)]
        assert group["lr"] == pytest.approx(now * factor)
        assert group["weight_decay"] == decay


def test_validation_tells_what_is_guessed_and_where_the_attention_is(tmp_path: Path, shards: list[str]) -> None:
    run("t2s", shards[:1], tmp_path / "t2s", valid=shards[1:])
    found = rows(tmp_path / "t2s")[-1]
    assert 0 < found["valid_accuracy"] < 1
    assert 0 < found["valid_on_word"] < 1
    pictures = sorted((tmp_path / "t2s" / "samples").glob("*/*.safetensors"))
    assert [p.name for p in pictures] == ["0-attention.safetensors", "1-attention.safetensors"]
    run("s2a", shards[:1], tmp_path / "s2a", valid=shards[1:])
    assert {"valid_accuracy_1", "valid_accuracy_2"} < set(rows(tmp_path / "s2a")[-1])


def test_words_without_times_are_learned_from_all_the_same(tmp_path: Path) -> None:
    data = [write_tokens(tmp_path / "plain", [utterance(i, timed=False) for i in range(6)])]
    guided = run("t2s", data, tmp_path / "guided", guide=5.0, valid=data)
    plain = run("t2s", data, tmp_path / "plain-run", valid=data)
    assert guided["recent"] == plain["recent"]
    assert "valid_on_word" not in rows(tmp_path / "guided")[-1]


# ---- what does not go together --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "model", "message"),
    [
        ("t2s", {"codes": 31, "end_code": 31}, r"model.codes is 31 in the recipe, but 32 in the tokens"),
        ("s2a", {"frames_per_code": 1.5}, r"model.frames_per_code is 1.5 in the recipe, but 2 in the tokens"),
        ("s2a", {"quantizers": 4}, r"model.quantizers is 4 in the recipe, but 2 in the tokens"),
        ("s2a", {"speaker_dim": 192}, r"model.speaker_dim is 192 in the recipe, but 4 in the tokens"),
    ],
)
def test_tokens_of_another_kind_are_refused(
    tmp_path: Path, shards: list[str], kind: str, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(kind, shards, tmp_path / "run", model=model)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_keeps_to_its_tokens(tmp_path: Path, shards: list[str]) -> None:
    items = [utterance(i) for i in range(4)]
    codec = [write_tokens(tmp_path / "codec", items, HEADER.replace(codec="other"))]
    semantic = [write_tokens(tmp_path / "semantic", items, HEADER.replace(semantic="other"))]
    for kind in ("t2s", "s2a"):
        run(kind, shards, tmp_path / kind, max_steps=1)
    run("t2s", codec, tmp_path / "t2s", max_steps=2)  # which codec it is has no part in it
    with pytest.raises(ValueError, match="s2a holds a run on other tokens"):
        run("s2a", codec, tmp_path / "s2a", max_steps=2)
    with pytest.raises(ValueError, match="t2s holds a run on other tokens"):
        run("t2s", semantic, tmp_path / "t2s", max_steps=3)
    with pytest.raises(ValueError, match=r"step-.*\.pt was trained on tokens of another semantic model"):
        run("t2s", semantic, tmp_path / "new", start=tmp_path / "t2s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guide": 1.0, "model": {"alignment_layer": None}}, "guide is 1.0; it must be 0 if the model has no"),
        ({"model": {"frozen_codes": True}}, "semantic is ''; it must be given if the codes are frozen"),
        ({"join": 0.6, "mix": 0.6}, "mix is 0.6; it must be at most 1 together with join"),
        ({"noise": 1.0}, "noise is 1.0; it must be from 0 to below 1"),
        ({"semantic": "nowhere"}, "nowhere holds no config.json"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, shards: list[str], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run("t2s", shards, tmp_path / "run", **change)


def test_what_a_model_cannot_read_is_skipped_by_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = utterance(1)
    odd["lang"] = "de"
    data = [write_tokens(tmp_path / "a", [utterance(0), odd, {**utterance(2, words=20), "key": "long"}])]
    run("t2s", data, tmp_path / "run", model={"text_length": 60}, max_steps=1)
    err = capsys.readouterr().err
    assert "1 utterances; 1 skipped: language is 'de'; this model knows en, fr; 1 skipped: more than 58 bytes" in err


# ---- batches --------------------------------------------------------------------------------------------------------


def small(text: str, words: list[tuple[str, float, float]], codes: int, lang: str = "en", name: str = "x") -> TokenItem:
    item = utterance(0, lang=lang)
    item["text"], item["words"], item["name"], item["seconds"] = text, words, name, codes / 25
    item["semantic"] = torch.arange(codes).remainder(30).numpy().astype("int16")
    item["acoustic"] = item["semantic"].repeat(2)[None].repeat(2, 0) % 16
    return item


def test_each_code_has_the_bytes_of_its_word() -> None:
    """The wrapped text is a zero, "cé", a space, "b", a zero; é has two bytes. A code lasts 0.04 s."""
    item = small("Cé  B", [("Cé", 0.04, 0.12), ("B", 0.16, 0.2)], codes=6)
    one = task("t2s", model={"lowercase": True})
    batch = one.collate([one.token_features(item), one.token_features(small("a", [("a", 0.0, 0.04)], codes=1))])
    assert bytes(batch["text"][0].tolist()).decode() == "cé b"
    expected = [(0, 1), (1, 4), (1, 4), (4, 5), (5, 6), (6, 7), (6, 7)]  # the last of them is the end code's
    assert [tuple(pair) for pair in batch["spans"][0].tolist()] == expected
    assert batch["spans"][1].tolist() == [[1, 2], [2, 3], *[[0, 0]] * 5]
    assert batch["pace"].tolist() == pytest.approx([4 / 0.24, 1 / 0.04])
    assert batch["codes"][1].tolist() == [0, *[PADDING] * 5]


def test_neighbours_of_one_speaker_are_joined() -> None:
    one = task("t2s", join=0.99)
    one.recipe = one.recipe.replace(join=1 - 1e-9)
    items = [small("ab", [("ab", 0.0, 0.08)], 3, name=name) for name in ("x", "y", "x", "", "")]
    batch = one.collate([one.token_features(item) for item in items])
    texts = sorted("".join(chr(b) for b in row if b != PADDING) for row in batch["text"].tolist())
    assert texts == ["ab", "ab", "ab", "ab ab"]  # who has no name is nobody's neighbour
    joined = int((batch["text"] != PADDING).sum(1).argmax())
    assert batch["codes"][joined].tolist() == [0, 1, 2, 0, 1, 2]
    # silences belong to the zero in front, the space between, the zero behind; a single end, at the end
    assert batch["spans"][joined].tolist() == [[1, 3], [1, 3], [3, 4], [4, 6], [4, 6], [6, 7], [6, 7]]
    assert batch["pace"][joined].item() == pytest.approx(5 / 0.24)


def test_two_languages_meet_in_one_utterance() -> None:
    one = task("t2s", mix=0.99)
    one.recipe = one.recipe.replace(mix=1 - 1e-9)
    items = [small("ab", [], 3, lang="en"), small("cd", [], 3, lang="fr"), small("ef", [], 3, lang="en")]
    batch = one.collate([one.token_features(item) for item in items])
    assert len(batch["text"]) == 2
    joined = int((batch["text"] != PADDING).sum(1).argmax())
    languages = batch["languages"][joined].tolist()
    assert languages in ([0, 0, 1, 1, 1], [1, 1, 0, 0, 0])  # the space is the second one's
    assert (chr(batch["text"][joined, 0]) == "c") == (languages[0] == 1)


def test_utterances_exchange_their_ends_at_words() -> None:
    """Every word keeps the codes and the bytes that are its own, wherever it comes to stand."""
    items = [
        small("aé b", [("aé", 0.04, 0.12), ("b", 0.12, 0.16)], 5),
        small("c dd", [("c", 0.0, 0.08), ("dd", 0.16, 0.28)], 8),
    ]
    items[1]["semantic"] += 10
    one = task("t2s")
    one.recipe = one.recipe.replace(cross=1 - 1e-9)
    batch = one.collate([one.token_features(item) for item in items])
    rows = {}
    for text, codes, spans in zip(batch["text"], batch["codes"], batch["spans"], strict=True):
        size, text = int((codes != PADDING).sum()), text[text != PADDING]
        spoken_text = [bytes(text[max(0, a - 1) : b - 1].tolist()).decode() for a, b in spans[:size].tolist()]
        rows[bytes(text.tolist()).decode()] = list(zip(codes.tolist(), spoken_text, strict=False))
    assert sorted(rows) == ["aé dd", "c b"]
    assert rows["aé dd"] == [(0, ""), (1, "aé"), (2, "aé"), (14, "dd"), (15, "dd"), (16, "dd"), (17, "")]
    assert rows["c b"] == [(10, "c"), (11, "c"), (12, " "), (13, " "), (3, "b"), (4, "")]
    assert sorted(batch["pace"].tolist()) == pytest.approx(sorted([5 / 0.28, 3 / 0.24]))


def test_only_words_of_one_language_that_have_times_are_exchanged() -> None:
    one = task("t2s")
    one.recipe = one.recipe.replace(cross=1 - 1e-9)
    timed = small("a b", [("a", 0.0, 0.04), ("b", 0.04, 0.08)], 3)
    french = small("c d", [("c", 0.0, 0.04), ("d", 0.04, 0.08)], 3, lang="fr")
    for other in (french, small("c d", [], 3), small("c", [("c", 0.0, 0.08)], 3)):
        batch = one.collate([one.token_features(item) for item in (timed, other)])
        texts = {bytes(row[row != PADDING].tolist()).decode() for row in batch["text"]}
        assert texts == {"a b", other["text"]}


def test_nothing_is_joined_that_the_model_cannot_take() -> None:
    for limits in ({"text_length": 6}, {"code_length": 6}):
        one = task("t2s", model=limits)
        one.recipe = one.recipe.replace(join=1 - 1e-9)
        batch = one.collate([one.token_features(small("ab", [], 3)) for _ in range(2)])
        assert len(batch["text"]) == 2
    one = task("t2s", model={"code_length": 6})
    one.recipe = one.recipe.replace(cross=1 - 1e-9)
    late, early = [("a", 0.0, 0.12), ("b", 0.16, 0.2)], [("c", 0.0, 0.04), ("d", 0.08, 0.2)]
    batch = one.collate([one.token_features(item) for item in (small("a b", late, 5), small("c d", early, 5))])
    assert batch["codes"].shape[1] <= 5
    one = task("s2a", model={"semantic_length": 7})
    one.recipe = one.recipe.replace(join=1 - 1e-9)
    assert len(one.collate([one.token_features(small("ab", [], 3)) for _ in range(2)])["codes"]) == 2


def test_acoustic_codes_go_on_too() -> None:
    one = task("s2a")
    one.recipe = one.recipe.replace(join=1 - 1e-9)
    batch = one.collate([one.token_features(small("ab", [], 3, name="x")) for _ in range(2)])
    assert batch["semantic"].tolist() == [[0, 1, 2, 0, 1, 2]]
    assert batch["codes"][0, 1].tolist() == [0, 0, 1, 1, 2, 2] * 2


def test_fewer_codebooks_than_the_tokens_have_are_the_first_ones(tmp_path: Path, shards: list[str]) -> None:
    one = task("s2a", model={"quantizers": 1})
    item = utterance(3)
    assert one.collate([one.token_features(item)])["codes"][0].tolist() == [item["acoustic"][0].tolist()]
    run("s2a", shards, tmp_path / "run", model={"quantizers": 1}, max_steps=1)


def test_noise_is_in_what_is_told_alone() -> None:
    codes = torch.full((50, 40), 7)
    codes[:, 30:] = PADDING
    changed = add_noise(codes, 0.2, 1000)
    share = (changed[:, :30] != 7).float().mean().item()
    assert 0.15 < share < 0.25
    assert bool((changed[:, 30:] == PADDING).all())
    assert add_noise(codes, 0.0, 1000) is codes
    one = task("t2s", noise=0.5)
    model = T2SWithAuxiliaryLosses(one.recipe.model)
    model.code_embed.table.weight.data *= 100  # a new model hardly tells one code from another
    batch = one.collate([one.token_features(utterance(i)) for i in range(3)])
    kept = batch["codes"].clone()
    assert one.loss(model, batch).item() != one.loss(model, batch).item()
    assert torch.equal(batch["codes"], kept)


@pytest.mark.parametrize(("kind", "given"), [("t2s", "text"), ("s2a", "semantic")])
def test_a_share_of_the_utterances_is_hidden(kind: str, given: str) -> None:
    one = task(kind)
    model = one.build().eval()
    for parameter in model.parameters():  # a new model hardly hears its input
        parameter.data *= 3
    batch = one.collate([one.token_features(utterance(i)) for i in range(3)])
    blank = one.recipe.model.semantic_codes if kind == "s2a" else 0
    bare = {**batch, given: batch[given].masked_fill(batch[given] != PADDING, blank)}
    seen, unseen = one.loss(model, batch).item(), one.loss(model, bare).item()
    always = task(kind, drop=0.999999)
    assert always.loss(model, batch).item() == pytest.approx(unseen) != pytest.approx(seen)
    some = {round(task(kind, drop=0.5).loss(model, batch).item(), 5) for _ in range(20)}
    assert len(some) > 3


def test_where_the_text_is_hidden_attention_is_led_nowhere() -> None:
    plain, guided = (task("t2s", drop=0.999999, guide=guide) for guide in (0.0, 3.0))
    model = T2SWithAuxiliaryLosses(plain.recipe.model)
    batch = plain.collate([plain.token_features(utterance(i)) for i in range(3)])
    assert guided.loss(model, batch).item() == pytest.approx(plain.loss(model, batch).item())


def test_the_guidance_fades() -> None:
    one = task("t2s", guide=3.0, guide_steps=10)
    model = T2SWithAuxiliaryLosses(one.recipe.model)
    batch = one.collate([one.token_features(utterance(i)) for i in range(3)])
    losses = []
    for step in (0, 5, 10, 20):
        one.step = step
        losses.append(one.loss(model, batch).item())
    plain = task("t2s").loss(model, batch).item()
    assert losses[0] - plain == pytest.approx(2 * (losses[1] - plain), rel=1e-3)
    assert losses[0] - plain > 1
    assert losses[2:] == pytest.approx([plain, plain])


# ---- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["t2s", "s2a"])
def test_an_exported_model_is_the_average_and_says_what_its_tokens_are(
    tmp_path: Path, shards: list[str], kind: str
) -> None:
    state = run(kind, shards, tmp_path / "run", **ALL[kind])
    export(tmp_path / "run", tmp_path / "model")
    part, model = read_part(tmp_path / "model", kind), load_part(tmp_path / "model", kind)
    assert type(model) is (T2S if kind == "t2s" else S2A)
    assert part.config.to_dict() == {**type(part.config)().to_dict(), **MODELS[kind]} | (
        {"languages": ("en", "fr")} if kind == "t2s" else {}
    )
    assert part.sampling == TokenSamplingConfig()
    assert part.tokens["semantic"] == "a"
    assert ("codec" in part.tokens) == (kind == "s2a")
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, state["average"][name], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=f"a {kind} model, where a codec model is needed"):
        load_part(tmp_path / "model", "codec")


def semantic_model(folder: Path, codes: int = 32) -> torch.Tensor:
    """A folder of a semantic model; returns its codebook."""
    whisper = {"n_audio_state": 8, "n_audio_head": 1, "n_audio_layer": 1}
    config = SemanticConfig.from_dict({"whisper": whisper, "codes": codes, "code_width": 6, "heads": 1, "depth": 0})
    model = Semantic(config)
    write_folder(folder, "semantic", {"model": config.to_dict()}, model.state_dict(), "here")
    return load_file(folder / "model.safetensors")["codebook.vectors"].float()


@pytest.mark.parametrize("kind", ["t2s", "s2a"])
def test_frozen_codes_are_the_semantic_models_and_stay(tmp_path: Path, shards: list[str], kind: str) -> None:
    vectors = semantic_model(tmp_path / "semantic")
    name, width = ("code_embed.table", "code_width") if kind == "t2s" else ("semantic_embed", "semantic_width")
    given = {"semantic": str(tmp_path / "semantic"), "weight_decay": 0.5}
    frozen = {"model": {width: 6, "frozen_codes": True}, **given}
    state = run(kind, shards, tmp_path / "frozen", **frozen)
    for part in ("model", "average"):
        torch.testing.assert_close(state[part][f"{name}.weight"][:32], vectors[:32], rtol=0, atol=0)
    export(tmp_path / "frozen", tmp_path / "model")
    again = run(kind, shards, tmp_path / "again", start=tmp_path / "model", **frozen)
    torch.testing.assert_close(again["model"][f"{name}.weight"][:32], vectors[:32], rtol=0, atol=0)
    moved = run(kind, shards, tmp_path / "moved", model={width: 6}, **given)
    assert not torch.allclose(moved["model"][f"{name}.weight"][:32], vectors[:32], atol=1e-4)


def test_a_semantic_model_of_another_width_is_refused(tmp_path: Path, shards: list[str]) -> None:
    semantic_model(tmp_path / "semantic")
    with pytest.raises(ValueError, match="semantic: 32 codes of width 6; the recipe's model has 32 of width 5"):
        run("t2s", shards, tmp_path / "run", model={"code_width": 5}, semantic=str(tmp_path / "semantic"))


def test_the_command_line_trains_and_exports(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    config = tmp_path / "recipe.json"
    config.write_text(json.dumps(recipe("s2a", max_steps=1)))
    folder = str(Path(shards[0]).parent)
    for line in (
        ["train", "s2a", "--config", str(config), "--data", folder, "--out", str(tmp_path / "run")],
        ["export", str(tmp_path / "run"), str(tmp_path / "model")],
    ):
        monkeypatch.setattr("sys.argv", ["vivavoce", *line])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert not ended.value.code
    assert isinstance(load_part(tmp_path / "model", "s2a"), S2A)


# ---- does it learn to read? -----------------------------------------------------------------------------------------


def spoken(codes: list[int]) -> str:
    """What codes of the toy language say: each run of a letter's code is the letter, each run of silence a space."""
    runs = [code for place, code in enumerate(codes) if place == 0 or codes[place - 1] != code]
    return "".join(" " if code == SILENCE else LETTERS[code % len(LETTERS)] for code in runs).strip()


@pytest.mark.slow
def test_guided_attention_makes_it_read(tmp_path: Path) -> None:
    """A model of 0.3 M parameters: its attention is on the right words soon, and it says words that it never saw."""
    data = [write_tokens(tmp_path / "train", [utterance(i) for i in range(600)])]
    unseen = [utterance(10_000 + i) for i in range(20)]
    valid = [write_tokens(tmp_path / "valid", unseen)]
    model = {"heads": 2, "head_dim": 32, "ff_mult": 4, "decoder_layers": 3, "causal_encoder": False}
    settings: dict[str, Any] = {"frames_per_batch": 1500, "max_steps": 400, "warmup_steps": 30, "decay_steps": 200}
    settings |= {"learning_rate": 3e-3, "clip_norm": 0.5, "ema": 0.98, "validate_every": 50}
    out = tmp_path / "guided"
    run("t2s", data, out, valid=valid, model=model, guide=1.0, noise=0.05, **settings)
    on_word = [row["valid_on_word"] for row in rows(out) if "valid_on_word" in row]
    assert on_word[1] > 0.6
    assert on_word[-1] > 0.7

    export(out, tmp_path / "model")
    reader = load_part(tmp_path / "model", "t2s")
    assert isinstance(reader, T2S)
    one = task("t2s")
    batch = one.collate([one.token_features(item) for item in unseen])
    made = reader.generate(batch["text"], batch["languages"], batch["pace"], TokenSamplingConfig(temperature=0.0))
    wrong = letters = 0
    for item, codes, length in zip(unseen, made.codes, made.lengths, strict=True):
        # a letter that comes twice cannot be reported from one that lasts
        text = "".join(c for i, c in enumerate(item["text"]) if i == 0 or item["text"][i - 1] != c)
        spoken_text = spoken(codes[:length].tolist())
        matching = difflib.SequenceMatcher(None, text, spoken_text, autojunk=False).get_matching_blocks()
        wrong += max(len(text), len(spoken_text)) - sum(block.size for block in matching)
        letters += len(text)
    assert bool(made.ended.all())
    assert wrong / letters < 0.2
