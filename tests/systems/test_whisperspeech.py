"""The whisperspeech engine as users meet it: load, speak, stream, languages, voices, options, errors.

Models are tiny and random, saved in our own format or as published. What they say is noise, but it follows from text,
voice, language, options and what was said before as a trained model's speech does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.whisperspeech_system import (
    MEL,
    T2S_CONFIG,
    build,
)
from helpers.whisperspeech_tests import TEXT, job, speak

import vivavoce
from vivavoce.models.whisperspeech import WhisperspeechConfig
from vivavoce.systems.load import load_system
from vivavoce.systems.whisperspeech_torch import Memory, WhisperspeechSystem, monotonic
from vivavoce.text.segments import Segment
from vivavoce.voices import Voice, get

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


# --- models on disk -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def system(folder: Path) -> WhisperspeechSystem:
    found = load_system(str(folder))
    assert isinstance(found, WhisperspeechSystem)
    return found


@pytest.fixture(scope="module")
def tts(folder: Path) -> vivavoce.TTS:
    return vivavoce.load(str(folder))


# --- speaking -------------------------------------------------------------------------------------------------------


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
    small = load_system(str(build(tmp_path, t2s_model={"lowercase": True})))
    loud, quiet = (small.synthesize([job(text)])[0] for text in ("HELLO There", "hello there"))
    assert np.array_equal(loud.samples, quiet.samples)


def test_a_voice_of_a_recording_needs_no_transcript(system: WhisperspeechSystem, tts: vivavoce.TTS) -> None:
    bare = Voice("me", get("rhea").samples)
    embedded = system.embedded(bare)
    assert embedded.embedding is not None and embedded.embedding.shape == (256,)
    by_recording, by_vector = (tts.speak(TEXT, v, seed=1).samples for v in (bare, embedded))
    assert np.array_equal(by_recording, by_vector)
    other = Voice("other", bare.samples, embedding=np.ones(192, np.float32))  # of another model's encoder
    assert np.array_equal(system.embedded(other).embedding, embedded.embedding)


# --- batches --------------------------------------------------------------------------------------------------------


def test_jobs_of_one_call_get_what_they_get_alone(system: WhisperspeechSystem) -> None:
    before = speak(system, seed=7)
    jobs = [
        job("And more of it.", 2, before.memory),
        job("yes", 5, voice="luna", speed=2.0),
        job(languages=(("fr", 5), ("en", len(TEXT) - 5))),
        job("No.", 9, voice="orion", speed=0.5),
    ]
    together = system.synthesize(jobs)
    for one, made in zip(jobs, together, strict=True):
        alone = system.synthesize([one])[0]
        assert made.samples.shape == alone.samples.shape
        assert np.abs(made.samples - alone.samples).max() < 1e-5
        assert made.ends is not None and np.array_equal(made.ends, alone.ends)


def test_jobs_with_other_sampling_cannot_be_done_together(system: WhisperspeechSystem) -> None:
    with pytest.raises(ValueError, match=r"temperature 0.5 and None cannot be done together"):
        system.synthesize([job(temperature=0.5), job()])


# --- options --------------------------------------------------------------------------------------------------------


def test_temperature_top_k_and_cfg_are_the_callers_or_the_models(tmp_path: Path, system: WhisperspeechSystem) -> None:
    def codes(chosen: WhisperspeechSystem, **options: Any) -> list[list[int]]:
        return [speak(chosen, "yes", seed, **options).memory.semantic.tolist() for seed in (1, 2)]

    first, second = codes(system)
    assert first != second
    first, second = codes(system, temperature=0.0)
    assert first == second and codes(system, top_k=1) == [first, first]
    plain = load_system(str(build(tmp_path, t2s_sampling={"temperature": 0.0})))
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
    system.synthesize([job(), job("yes", 2)], seen.append)
    assert len(seen) > 20 and seen == sorted(seen) and 0 <= seen[0] < 0.1 and 0.9 < seen[-1] <= 1


# --- going on from the piece before ---------------------------------------------------------------------------------


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
    alike = load_system(str(build(tmp_path, sampling={"prompt_seconds": 0.0})))
    before, alone = alike.synthesize([job(seed=7), job("And more.", 2)])
    assert np.array_equal(alike.synthesize([job("And more.", 2, before.memory)])[0].samples, alone.samples)
    usual = load_system(str(folder))
    faster = usual.synthesize([job("And more.", 2, before.memory, speed=1.1)])[0]
    assert np.array_equal(faster.samples, usual.synthesize([job("And more.", 2, speed=1.1)])[0].samples)


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
    system = load_system(str(build(tmp_path, sampling={"prompt_seconds": 1.0})))
    assert isinstance(system, WhisperspeechSystem)
    ends = [*[10] * 3, 12, *[30] * 3, 40, *[60] * 5]  # "one" ends at code 10, its space at 12, …
    prompt = system._work(job("And more.", memory=remembered(system, ends))).prompt
    assert prompt is not None
    assert bytes(prompt.text.tolist()) == b"three"
    assert prompt.semantic.tolist() == [c % 20 for c in range(40, 60)]
    assert prompt.acoustic.shape[1] == round(20 * 1.875) and int(prompt.acoustic[0, -1]) == 111 % 16
    assert system._work(job("And more.", memory=remembered(system, None))).prompt is None


def test_a_prompt_leaves_room_for_what_is_to_be_said(tmp_path: Path) -> None:
    system = load_system(str(build(tmp_path, sampling={"prompt_seconds": 30.0, "max_seconds": 12.0})))
    memory = None
    for seed in range(3):  # 150 bytes in each would be more than the model's 198 together
        made = speak(system, "so it goes on " * 10 + "and on.", seed, memory)
        assert len(made.samples)
        memory = made.memory


# --- word times -----------------------------------------------------------------------------------------------------


def test_ends_rise_over_every_character(system: WhisperspeechSystem) -> None:
    for made in system.synthesize([job("Été, and you?", languages=(("fr", 5), ("en", 8))), job("yes", 2)]):
        assert made.ends is not None and made.ends.dtype == np.float32
        assert (np.diff(made.ends) >= 0).all() and made.ends[0] >= 0
        assert made.ends[-1] <= len(made.samples) / system.sample_rate
    assert len(system.synthesize([job("Été, and you?")])[0].ends) == 13


def test_a_model_that_was_not_taught_to_align_tells_no_times(tmp_path: Path) -> None:
    system = load_system(str(build(tmp_path, t2s_model={"alignment_layer": None})))
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


# --- copy synthesis -------------------------------------------------------------------------------------------------


def test_a_recording_goes_through_codec_and_vocoder(system: WhisperspeechSystem) -> None:
    recording = get("nash").samples[:24_000]
    copy = system.copy_synthesis(recording)
    wave = torch.from_numpy(recording)[None]
    assert copy.dtype == np.float32 and len(copy) == pytest.approx(len(recording), abs=2 * 2 * MEL.hop)
    assert np.array_equal(copy, system.codec.decode(system.codec.encode(wave))[0].numpy())  # type: ignore[attr-defined]


# --- too long -------------------------------------------------------------------------------------------------------


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
    planned = list(tts.planner("nash", lang="fr")[0].plan([Segment("éé " * 45)]))
    sizes = [len(p.piece.text.encode()) for p in planned]
    assert len(sizes) > 1 and max(sizes) <= T2S_CONFIG.max_bytes
