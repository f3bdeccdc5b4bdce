"""The whisperspeech engine as users meet it: load, speak, stream, languages, voices, options, errors.

Models are tiny and random, saved in our own format or as published. What they say is noise, but it follows from text,
voice, language, options and what was said before as a trained model's speech does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_whisperspeech import S2A_TINY, T2S_TINY, lively
from torch import nn

import vivavoce
from vivavoce import checkpoints, cli, generate
from vivavoce.config import Config, MelConfig, SpeakOptions, VocoderConfig
from vivavoce.config_whisperspeech import CodecConfig, WhisperspeechConfig
from vivavoce.engines.codec_torch import MelQuantizer
from vivavoce.engines.whisperspeech_torch import S2A, T2S
from vivavoce.pieces import Job, Made, Piece
from vivavoce.system_whisperspeech_torch import Memory, WhisperspeechSystem, monotonic
from vivavoce.vocoder_torch import Vocoder
from vivavoce.voices import Voice, get

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")

MEL = MelConfig(n_fft=512, n_mels=8)
T2S_CONFIG = T2S_TINY.replace(text_length=200, code_length=400, alignment_layer=1)
S2A_CONFIG = S2A_TINY.replace(semantic_length=400, frame_length=800, speaker_dim=256)
CODEC_CONFIG = CodecConfig(mel=MEL, components=4, quantizers=3, codes=16)
VOCODER_CONFIG = VocoderConfig(mel=MEL, dim=8, intermediate_dim=16, num_layers=1, n_fft=512)
SYSTEM = {"format": 1, "kind": "whisperspeech", "t2s": "t2s", "s2a": "s2a", "codec": "codec", "vocoder": "vocoder"}
TEXT = "Hello there, you."


# ---- models on disk -------------------------------------------------------------------------------------------------


def put(folder: Path, kind: str, model: nn.Module, config: Config, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format": 1, "kind": kind, "model": config.to_dict(), **more}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "model.safetensors")


def ending(model: T2S) -> T2S:
    """With an end about as likely at every code, so that most sayings have one and few have it at once."""
    with torch.no_grad():
        end = model.special_embed.weight.mul_(0.3)[0]
        model.decoder.norm.bias.copy_(end / end.square().sum() / model.config.logit_scale)
    return model


def build(folder: Path, **changes: Any) -> Path:
    """A whole system of our own format. `changes`: of its config.json, or of the T2S config as t2s_model."""
    torch.manual_seed(0)
    t2s_config = T2S_CONFIG.replace(**changes.pop("t2s_model", {}))
    t2s = ending(lively(T2S(t2s_config)))
    put(folder / "t2s", "t2s", t2s, t2s_config, sampling=changes.pop("t2s_sampling", {"temperature": 1.5}))
    put(folder / "s2a", "s2a", lively(S2A(S2A_CONFIG)), S2A_CONFIG)
    quantizer = MelQuantizer(CODEC_CONFIG)
    nn.init.normal_(quantizer.codebooks)
    nn.init.normal_(quantizer.components)
    put(folder / "codec", "codec", quantizer, CODEC_CONFIG)
    put(folder / "vocoder", "vocoder", Vocoder(VOCODER_CONFIG), VOCODER_CONFIG)
    values = {**SYSTEM, "sampling": {"max_seconds": 3.0, "pace": 30.0}, **changes}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("system"))


@pytest.fixture(scope="module")
def system(folder: Path) -> WhisperspeechSystem:
    found = checkpoints.load_system(str(folder))
    assert isinstance(found, WhisperspeechSystem)
    return found


@pytest.fixture(scope="module")
def tts(folder: Path) -> vivavoce.TTS:
    return vivavoce.load(str(folder))


def job(text: str = TEXT, seed: int = 1, memory: Any = None, voice: str = "nash", **options: Any) -> Job:
    languages = options.pop("languages", ())
    return Job(Piece(text, 0.0, languages), get(voice), SpeakOptions(**options), seed, memory)


def speak(system: WhisperspeechSystem, *args: Any, **kwargs: Any) -> Made:
    return system.waves([job(*args, **kwargs)])[0]


def changed(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / part / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


# ---- speaking -------------------------------------------------------------------------------------------------------


def test_a_folder_loads_speaks_and_streams(tts: vivavoce.TTS) -> None:
    speech = tts.speak(TEXT, voice="luna", seed=3)
    assert speech.sample_rate == 24_000 and speech.samples.dtype == np.float32
    assert 0.1 < speech.duration < 6 and np.abs(speech.samples).max() > 0.001
    assert np.array_equal(speech.samples, tts.speak(TEXT, voice="luna", seed=3).samples)
    assert not np.array_equal(speech.samples, tts.speak(TEXT, voice="luna", seed=4).samples)
    long = f"{TEXT} And here is more of it, for it goes on and on, as it did before; so it is."
    parts = list(tts.stream(long, voice="luna", seed=3))
    assert len(parts) > 1
    assert np.array_equal(np.concatenate([p.samples for p in parts]), tts.speak(long, voice="luna", seed=3).samples)


def test_text_voice_and_language_each_change_what_is_said(system: WhisperspeechSystem) -> None:
    usual = speak(system)
    for other in (
        speak(system, "Was it you? Hallo!"),
        speak(system, voice="orion"),
        speak(system, languages=(("fr", len(TEXT)),)),
    ):
        assert not np.array_equal(usual.samples, other.samples)
    assert np.array_equal(usual.samples, speak(system, languages=(("en", 6), ("en", len(TEXT) - 6))).samples)


def test_an_unknown_language_is_refused_with_the_known_ones(system: WhisperspeechSystem) -> None:
    assert system.languages == ("en", "fr")
    with pytest.raises(ValueError, match="language is 'xx'; this model knows en, fr"):
        speak(system, languages=(("en", 6), ("xx", len(TEXT) - 6)))


def test_the_language_reaches_every_byte_of_its_characters(system: WhisperspeechSystem) -> None:
    """ "é" is two bytes: counted as one, the languages of all that follows would be shifted."""
    rows = []
    handle = system.t2s.language_embed.register_forward_hook(lambda _, given, __: rows.append(given[0].tolist()))
    speak(system, "été now", languages=(("fr", 4), ("en", 3)))
    handle.remove()
    assert rows[0] == [[1, *[1] * 6, *[0] * 3, 1]]


def test_a_lowercase_model_reads_capitals_as_small_letters(tmp_path: Path) -> None:
    small = checkpoints.load_system(str(build(tmp_path, t2s_model={"lowercase": True})))
    loud, quiet = (small.waves([job(text)])[0] for text in ("HELLO There", "hello there"))
    assert np.array_equal(loud.samples, quiet.samples)


def test_a_voice_of_a_recording_needs_no_transcript(system: WhisperspeechSystem, tts: vivavoce.TTS) -> None:
    bare = Voice("me", get("rhea").samples)
    embedded = system.embedded(bare)
    assert embedded.embedding is not None and embedded.embedding.shape == (256,)
    by_recording, by_vector = (tts.speak(TEXT, v, seed=1).samples for v in (bare, embedded))
    assert np.array_equal(by_recording, by_vector)
    other = Voice("other", bare.samples, embedding=np.ones(192, np.float32))  # of another model's encoder
    assert np.array_equal(system.embedded(other).embedding, embedded.embedding)


# ---- batches --------------------------------------------------------------------------------------------------------


def test_jobs_of_one_call_get_what_they_get_alone(system: WhisperspeechSystem) -> None:
    before = speak(system, seed=7)
    jobs = [
        job("And more of it.", 2, before.memory),
        job("yes", 5, voice="luna", speed=2.0),
        job(languages=(("fr", 5), ("en", len(TEXT) - 5))),
        job("No.", 9, voice="orion", speed=0.5),
    ]
    together = system.waves(jobs)
    for one, made in zip(jobs, together, strict=True):
        alone = system.waves([one])[0]
        assert made.samples.shape == alone.samples.shape
        assert np.abs(made.samples - alone.samples).max() < 1e-5
        assert made.ends is not None and np.array_equal(made.ends, alone.ends)


def test_jobs_with_other_sampling_cannot_be_done_together(system: WhisperspeechSystem) -> None:
    with pytest.raises(ValueError, match=r"temperature 0.5 and None cannot be done together"):
        system.waves([job(temperature=0.5), job()])


# ---- options --------------------------------------------------------------------------------------------------------


def test_temperature_top_k_and_cfg_are_the_callers_or_the_models(tmp_path: Path, system: WhisperspeechSystem) -> None:
    def codes(chosen: WhisperspeechSystem, **options: Any) -> list[list[int]]:
        return [speak(chosen, "yes", seed, **options).memory.semantic.tolist() for seed in (1, 2)]

    first, second = codes(system)
    assert first != second
    first, second = codes(system, temperature=0.0)
    assert first == second and codes(system, top_k=1) == [first, first]
    plain = checkpoints.load_system(str(build(tmp_path, t2s_sampling={"temperature": 0.0})))
    assert isinstance(plain, WhisperspeechSystem) and codes(plain) == [first, first]
    guided = codes(system, temperature=0.0, cfg=2.0)
    assert guided[0] == guided[1] != first and codes(plain, cfg=2.0) == guided


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 4}, "steps is 4"),
        ({"method": "rk4"}, "method is 'rk4'"),
        ({"sway_coef": 0.5}, "sway_coef is 0.5"),
    ],
)
def test_options_of_the_other_engine_are_refused_by_name(
    tts: vivavoce.TTS, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=f"{named}, but this model has no such option; it has cfg, temperature, top_k"):
        tts.stream(TEXT, **options)


@pytest.mark.parametrize("options", [{"temperature": -0.1}, {"temperature": 2.5}, {"top_k": -1}, {"cfg": 11.0}])
def test_options_out_of_range_are_refused(tts: vivavoce.TTS, options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be"):
        tts.speak(TEXT, **options)


def test_speed_changes_the_pace_and_beyond_the_known_paces_the_codes() -> None:
    config = WhisperspeechConfig(pace=15.0, silence=0.5, slowest=0.8, fastest=1.25)
    assert config.seconds(30, 1.0) == pytest.approx(2.5) and config.seconds(30, 2.0) == pytest.approx(1.25)
    assert [config.written(speed) for speed in (0.25, 0.9, 1.0, 4.0)] == [0.8, 0.9, 1.0, 1.25]


def test_twice_the_speed_is_half_the_length(system: WhisperspeechSystem) -> None:
    """Both ask T2S for its fastest, so that it writes the same codes; the rest is in how they are read."""
    fastest = system.sampling.fastest
    one, two = (speak(system, speed=times * fastest) for times in (1.0, 2.0))
    assert one.memory.semantic.tolist() == two.memory.semantic.tolist()
    assert len(two.samples) == pytest.approx(len(one.samples) / 2, abs=1000)  # a code has 960
    assert two.ends is not None and one.ends is not None
    assert two.ends[:-1] == pytest.approx(one.ends[:-1] / 2, abs=0.01)


def test_progress_rises_to_the_end(system: WhisperspeechSystem) -> None:
    seen: list[float] = []
    system.waves([job(), job("yes", 2)], seen.append)
    assert len(seen) > 20 and seen == sorted(seen) and 0 <= seen[0] < 0.1 and 0.9 < seen[-1] <= 1


# ---- going on from the piece before ---------------------------------------------------------------------------------


def test_a_piece_goes_on_from_the_one_before(system: WhisperspeechSystem) -> None:
    before, other = speak(system, seed=7), speak(system, "Quite another one.", seed=8)
    alone = speak(system, "And more.", 2)
    goes_on = [speak(system, "And more.", 2, made.memory) for made in (before, other)]
    codes = [made.memory.semantic.tolist() for made in (alone, *goes_on)]
    assert codes[0] != codes[1] != codes[2] != codes[0]
    # only the new piece is heard, and remembered
    made = goes_on[0]
    assert len(made.samples) == pytest.approx(len(made.memory.semantic) / 25 * 24_000, abs=1000)
    assert bytes(made.memory.text.tolist()).decode() == "And more."


def test_nothing_is_gone_on_from_where_the_model_is_not_to_or_the_speed_changed(folder: Path, tmp_path: Path) -> None:
    alike = checkpoints.load_system(str(build(tmp_path, sampling={"prompt_seconds": 0.0})))
    before, alone = alike.waves([job(seed=7), job("And more.", 2)])
    assert np.array_equal(alike.waves([job("And more.", 2, before.memory)])[0].samples, alone.samples)
    usual = checkpoints.load_system(str(folder))
    faster = usual.waves([job("And more.", 2, before.memory, speed=1.1)])[0]
    assert np.array_equal(faster.samples, usual.waves([job("And more.", 2, speed=1.1)])[0].samples)


def remembered(system: WhisperspeechSystem, ends: list[int] | None) -> Memory:
    text = "one two three"
    return Memory(
        np.frombuffer(text.encode(), np.uint8).astype(np.int64),
        np.zeros(len(text), np.int64),
        torch.arange(60) % 20,
        torch.arange(3 * 112).view(3, 112) % 16,
        None if ends is None else np.array(ends),
        1.0,
    )


def test_a_long_piece_before_is_cut_at_a_word_in_text_and_codes_alike(tmp_path: Path) -> None:
    system = checkpoints.load_system(str(build(tmp_path, sampling={"prompt_seconds": 1.0})))
    assert isinstance(system, WhisperspeechSystem)
    ends = [*[10] * 3, 12, *[30] * 3, 40, *[60] * 5]  # "one" ends at code 10, its space at 12, …
    prompt = system._work(job("And more.", memory=remembered(system, ends))).prompt
    assert prompt is not None
    assert bytes(prompt.text.tolist()) == b"three"
    assert prompt.semantic.tolist() == [c % 20 for c in range(40, 60)]
    assert prompt.acoustic.shape[1] == round(20 * 1.875) and int(prompt.acoustic[0, -1]) == 111 % 16
    assert system._work(job("And more.", memory=remembered(system, None))).prompt is None


def test_a_prompt_leaves_room_for_what_is_to_be_said(tmp_path: Path) -> None:
    system = checkpoints.load_system(str(build(tmp_path, sampling={"prompt_seconds": 30.0, "max_seconds": 12.0})))
    memory = None
    for seed in range(3):  # 150 bytes in each would be more than the model's 198 together
        made = speak(system, "so it goes on " * 10 + "and on.", seed, memory)
        assert len(made.samples)
        memory = made.memory


# ---- word times -----------------------------------------------------------------------------------------------------


def test_ends_rise_over_every_character(system: WhisperspeechSystem) -> None:
    for made in system.waves([job("Été, and you?", languages=(("fr", 5), ("en", 8))), job("yes", 2)]):
        assert made.ends is not None and made.ends.dtype == np.float32
        assert (np.diff(made.ends) >= 0).all() and made.ends[0] >= 0
        assert made.ends[-1] <= len(made.samples) / system.sample_rate
    assert len(system.waves([job("Été, and you?")])[0].ends) == 13


def test_a_model_that_was_not_taught_to_align_tells_no_times(tmp_path: Path) -> None:
    system = checkpoints.load_system(str(build(tmp_path, t2s_model={"alignment_layer": None})))
    assert speak(system).ends is None
    with pytest.raises(ValueError, match="no alignment_layer"):
        system.t2s.alignment(*[torch.zeros(1, 1, dtype=torch.long)] * 2, torch.ones(1), torch.ones(1, 3).long())


def test_the_alignment_is_the_layers_attention(system: WhisperspeechSystem) -> None:
    """Rows add up to 1, and a code's row does not change with what is written after it."""
    text = torch.tensor([list(b"hello")])
    codes = torch.arange(8)[None]
    given = (text, torch.zeros_like(text), torch.tensor([12.0]))
    long, short = (system.t2s.alignment(*given, codes[:, :n])[0] for n in (8, 5))
    assert long.shape == (8, 7)
    assert torch.allclose(long.sum(-1), torch.ones(8), atol=1e-5)
    assert torch.allclose(long[:5], short, atol=1e-5)


def test_monotonic_follows_the_weights_and_never_goes_back() -> None:
    path = [0, 0, 1, 2, 2, 2, 4, 5]
    weights = np.full((8, 6), 0.02)
    weights[np.arange(8), path] = 0.9
    assert monotonic(weights).tolist() == path
    weights[4] = [0.6, 0.02, 0.3, 0.04, 0.02, 0.02]  # one row that looks back
    assert monotonic(weights).tolist() == path


# ---- copy synthesis -------------------------------------------------------------------------------------------------


def test_a_recording_goes_through_codec_and_vocoder(system: WhisperspeechSystem) -> None:
    recording = get("nash").samples[:24_000]
    copy = system.copy_synthesis(recording)
    wave = torch.from_numpy(recording)[None]
    assert copy.dtype == np.float32 and len(copy) == pytest.approx(len(recording), abs=2 * 2 * MEL.hop)
    assert np.array_equal(copy, system.codec.decode(system.codec.encode(wave))[0].numpy())  # type: ignore[attr-defined]


# ---- too long -------------------------------------------------------------------------------------------------------


def test_a_piece_that_the_model_cannot_hold_is_refused_not_cut(system: WhisperspeechSystem) -> None:
    with pytest.raises(ValueError, match=r"a piece of 210 bytes, some 7\.0 s; the model speaks at most 198 bytes"):
        speak(system, "so it goes on, " * 14)


def test_a_model_that_does_not_stop_is_stopped_tried_again_and_told_of(tmp_path: Path) -> None:
    endless = vivavoce.load(str(build(tmp_path)))
    with torch.no_grad():
        endless.system.t2s.special_embed.weight.zero_()
    made = speak(endless.system, "no", temperature=0)
    assert made.fault == "speech without an end"
    assert len(made.samples) / endless.sample_rate < 2 * 2 / 30 + 2 + 0.1
    with pytest.warns(UserWarning, match="'no', the best of 3 tries, may be faulty: .*speech without an end"):
        endless.speak("no", temperature=0)


def test_a_script_of_many_bytes_is_cut_where_the_model_cannot_read_more(tts: vivavoce.TTS) -> None:
    planned = tts.planner("nash", lang="fr")[0].whole("éé " * 45)
    sizes = [len(p.piece.text.encode()) for p in planned]
    assert len(sizes) > 1 and max(sizes) <= T2S_CONFIG.max_bytes


# ---- loading --------------------------------------------------------------------------------------------------------


def test_auto_takes_torch_on_apple_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "choose_backend", lambda _: "mlx")
    assert isinstance(checkpoints.load_system(str(folder)), WhisperspeechSystem)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"backend": "mlx"}, "backend is 'mlx', and .* is a whisperspeech model, which runs in PyTorch alone"),
        ({"bits": 8}, "bits is 8, and .* is a whisperspeech model, which has no quantised weights"),
    ],
)
def test_what_this_engine_does_not_have_is_refused(folder: Path, arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        vivavoce.load(str(folder), **arguments)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_speaks(folder: Path, dtype: str) -> None:
    assert vivavoce.load(str(folder), dtype=dtype).speak("yes", seed=1).duration > 0.05


def test_the_bundled_model_is_named_or_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoints, "ASSETS", tmp_path)
    with pytest.raises(ValueError, match="model 'whisperspeech' is not bundled in this version"):
        vivavoce.load("whisperspeech")
    build(tmp_path / "whisperspeech")
    assert vivavoce.load("whisperspeech").speak("yes", seed=1).duration > 0.05


@pytest.mark.parametrize(
    ("part", "change", "complaint"),
    [
        ("", {"t2s": "elsewhere"}, "t2s is 'elsewhere', but there is no folder"),
        ("", {"s2a": "t2s"}, "a t2s model, where a s2a model is needed"),
        ("", {"steps": 3}, "unknown setting 'steps'; valid are"),
        ("", {"sampling": {"pace": -1}}, "sampling: pace is -1.0; it must be positive"),
        ("", {"codec": 4}, 'codec is 4; it must be "bundled" or the name of a folder'),
        ("t2s", {"tokens": {"semantic": "abc"}}, "has abc as the hash of its semantic model, .* has xyz"),
        ("t2s", {"model": {**T2S_CONFIG.to_dict(), "codes": 21}}, "has 21 semantic codes, .* has 20; they do not go"),
        ("codec", {"model": {**CODEC_CONFIG.to_dict(), "quantizers": 2}}, "has 3 codebooks, .* has 2; they do not go"),
        ("vocoder", {"model": {**VOCODER_CONFIG.to_dict(), "dim": 9}}, "the weights do not fit the config"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    tmp_path: Path, part: str, change: dict[str, Any], complaint: str
) -> None:
    build(tmp_path)
    changed(tmp_path, "s2a", lambda values: values.update(tokens={"semantic": "xyz"}))
    changed(tmp_path, part, lambda values: values.update(change))
    with pytest.raises(ValueError, match=complaint):
        vivavoce.load(str(tmp_path))


def test_a_vocoder_for_other_frames_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="the vocoder reads mel .* the codec gives"):
        vivavoce.load(str(folder), vocoder="bundled")


# ---- the published format -------------------------------------------------------------------------------------------


def publish(folder: Path, speaker_dim: int = 192, t2s: str = "t2s-a.model", s2a: str = "s2a-a.model") -> None:
    """A pair as WhisperSpeech saves it, and Vocos' EnCodec variant beside it."""
    torch.manual_seed(0)
    for kind, path in (("t2s", t2s), ("s2a", s2a)):
        torch.save(published(kind, speaker_dim), folder / path)
    config = VocoderConfig(
        input="codes", dim=8, intermediate_dim=16, num_layers=1, padding="same", n_fft=1280, hop=320,
        codebooks=4, codebook_dim=8, bandwidths=(1.5, 3.0, 6.0),
    )  # fmt: skip
    model = Vocoder(config)
    nn.init.normal_(model.codebook_weights)
    put(folder / "vocos", "vocoder", model, config)


def published(kind: str, speaker_dim: int) -> dict[str, Any]:
    """What a .model file holds: our tensors under the published names."""
    common = {"depth": 2, "n_head": 2, "stoks_len": 750}
    if kind == "t2s":
        config = T2S_TINY.replace(code_length=750, padding="fixed", causal_encoder=True)
        names = {
            "language_embed.": "lang_embeddings.",
            "pace_embed.": "cps_embeddings.",
            "text_embed.": "encoder.embedding.main.",
            "encoder_norm.": "encoder.ln_post.",
            "special_embed.": "embeddings.embedding.special.",
            "code_embed.table.": "embeddings.embedding.main.",
            "code_embed.project_in.": "embeddings.embedding.emb_to_hidden.",
            "code_embed.project_out.": "embeddings.embedding.hidden_to_emb.",
        }
        model, more, tunables = ending(lively(T2S(config))), {"ttoks_len": 40}, {"padding_token_offset": 0}
    else:
        config = S2A_TINY.replace(
            semantic_length=750, frame_length=2250, quantizers=4, codes=1024, frames_per_code=3.0,
            speaker_dim=speaker_dim, padding="fixed",
        )  # fmt: skip
        names = {
            "semantic_embed.": "semantic_embedding.",
            "speaker_embed.": "spk_to_hidden.",
            "encoder_norm.": "ln_post.",
            "special_embed.": "embds.embeddings.0.special.",
            "split.": "head.splitter.0.",
        }
        names |= {f"code_embeds.{q}.table.": f"embds.embeddings.{q}.main." for q in range(4)}
        model, more, tunables = lively(S2A(config)), {"ctx_n": 2250}, {"rope": True}
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in names.items():
            if name.startswith(ours):
                name = theirs + name[len(ours) :]
        if kind == "t2s" and name.startswith("encoder.0."):
            name = name.replace("encoder.", "encoder.layers.")
        weights[name] = tensor
    return {"config": {**common, **more}, "tunables": tunables, "state_dict": weights}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(folder)
    return folder


def test_a_published_pair_speaks_with_a_vector_of_its_own_encoder(pair: Path, tmp_path: Path) -> None:
    tts = vivavoce.load(str(pair), vocoder="vocos")
    assert tts.sample_rate == 24_000 and "pl" not in tts.system.languages  # its embedding has two rows
    voice = Voice("ecapa", get("nash").samples, embedding=np.random.default_rng(0).standard_normal(192).astype("f4"))
    voice.save(tmp_path / "ecapa.safetensors")
    speech = tts.speak("yes", Voice.load(tmp_path / "ecapa.safetensors"), seed=1)
    assert 0.02 < speech.duration < 3


def test_a_published_pair_makes_no_codes_of_sound(pair: Path) -> None:
    tts = vivavoce.load(str(pair), vocoder="vocos")
    with pytest.raises(ValueError, match="copy synthesis: this model speaks EnCodec's codes"):
        tts.system.copy_synthesis(get("nash").samples)  # type: ignore[attr-defined]


def test_one_of_several_published_files_must_be_named(pair: Path, tmp_path: Path) -> None:
    for name in ("t2s-a.model", "t2s-b.model", "s2a-a.model"):
        (tmp_path / name).write_bytes((pair / name.replace("-b", "-a")).read_bytes())
    with pytest.raises(ValueError) as error:
        vivavoce.load(str(tmp_path))
    assert "it has s2a-a.model, t2s-a.model, t2s-b.model; name them, as in" in str(error.value)
    assert f"{tmp_path}:t2s-a.model,s2a-a.model" in str(error.value)
    for names in ("t2s-b.model", "t2s-b.model,s2a-a.model"):
        assert vivavoce.load(f"{tmp_path}:{names}", vocoder=str(pair / "vocos")).system.languages == ("en", "zh")
    with pytest.raises(ValueError, match=r"has no t2s-c.model; it has s2a-a.model, t2s-a.model, t2s-b.model"):
        vivavoce.load(f"{tmp_path}:t2s-c.model")
    (tmp_path / "s2a-a.model").unlink()
    with pytest.raises(ValueError, match=r"one s2a-\*.model are needed; it has t2s-a.model, t2s-b.model$"):
        vivavoce.load(str(tmp_path))


def test_of_a_hub_repository_only_the_pair_is_fetched(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["README.md", "t2s-a.model", "t2s-b.model", "s2a-a.model", "whisper-vq-stoks-v2.model"]
    fetched: list[str] = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        for file in there:
            if file in allow_patterns:
                fetched.append(file)
                (tmp_path / file).write_bytes((pair / file.replace("-b", "-a")).read_bytes())
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda _: there)
    with pytest.raises(ValueError, match="name them, as in owner/speech:t2s-a.model,s2a-a.model"):
        vivavoce.load("owner/speech")
    assert fetched == []
    vivavoce.load("owner/speech:t2s-b.model", vocoder=str(pair / "vocos"))
    assert set(fetched) == {"t2s-b.model", "s2a-a.model"}


def test_a_mel_vocoder_cannot_speak_published_codes(pair: Path) -> None:
    with pytest.raises(ValueError, match="vocoder 'bundled' speaks mel frames"):
        vivavoce.load(str(pair), vocoder="bundled")


# ---- languages through speak, and the command line ------------------------------------------------------------------


def test_languages_of_a_list_of_a_tag_and_of_lang(tts: vivavoce.TTS) -> None:
    mixed = tts.speak([("fr", "bonjour"), ("en", "everyone")], seed=1)
    tagged = tts.speak("[fr]bonjour[en] everyone", seed=1)
    assert np.array_equal(mixed.samples, tagged.samples)
    assert [code for p in mixed.pieces for code, _ in p.languages] == ["fr", "en"]
    french, english = tts.speak("bonjour", lang="fr", seed=1), tts.speak("bonjour", seed=1)
    assert not np.array_equal(french.samples, english.samples)
    for text, options in (([("xx", "hi")], {}), ("[de]hallo", {}), ("hi", {"lang": "xx"})):
        with pytest.raises(ValueError, match=r"known are en, fr|code"):
            tts.stream(text, **options)


def vivavoce_command(*arguments: str) -> int:
    return generate.run(cli.app, arguments)


def test_the_command_line_speaks_languages_with_the_engines_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--model", str(folder), "--seed", "1")
    assert vivavoce_command("bonjour", "--lang", "fr", "-o", "fr.wav", *flags) == 0
    assert vivavoce_command("[fr]bonjour", "-o", "tag.wav", *flags) == 0
    assert vivavoce_command("bonjour", "-o", "en.wav", *flags) == 0
    assert Path("fr.wav").read_bytes() == Path("tag.wav").read_bytes() != Path("en.wav").read_bytes()
    tts = vivavoce.load(str(folder))
    assert vivavoce_command(TEXT, "--temperature", "1.4", "--top-k", "12", "-o", "drawn.wav", *flags) == 0
    tts.speak(TEXT, temperature=1.4, top_k=12, seed=1).save("same.wav")
    tts.speak(TEXT, seed=1).save("other.wav")
    assert Path("drawn.wav").read_bytes() == Path("same.wav").read_bytes() != Path("other.wav").read_bytes()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--lang", "xx"], "known are en, fr"),
        (["--steps", "4"], "steps is 4, but this model has no such option"),
        (["--temperature", "5"], "temperature is 5.0; it must be from 0 to 2"),
        (["--top-k", "few"], "'few' is not a whole number"),
        (["--backend", "mlx"], "runs in PyTorch alone"),
        (["--bits", "8"], "no quantised weights"),
    ],
)
def test_the_command_line_refuses_in_one_line(
    folder: Path, flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert vivavoce_command("hi", "--model", str(folder), "-o", str(tmp_path / "a.wav"), *flags) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") or complaint in line
    assert complaint in line
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.slow
def test_compiled_steps_speak_the_same(folder: Path) -> None:
    plain, compiled = (speak(vivavoce.load(str(folder), compile=c).system, temperature=0.0) for c in (False, True))
    assert plain.memory.semantic.tolist() == compiled.memory.semantic.tolist()
    assert np.abs(plain.samples - compiled.samples).max() < 1e-4
