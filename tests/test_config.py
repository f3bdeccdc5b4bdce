"""Configs: what is read back, what is refused, and that the refusal names the value and what would be right."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce import config
from vivavoce.config import Config, MelConfig, SpeakOptions, exact_div
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig, SamplingConfig
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.whisperspeech import WhisperspeechConfig
from vivavoce.train.config import TrainConfig

ALL = [c for c in vars(config).values() if isinstance(c, type) and issubclass(c, Config) and c is not Config]


def one_line(error: pytest.ExceptionInfo[ValueError]) -> str:
    """The message, which must be a single line, for that is how users see it."""
    message = str(error.value)
    assert message
    assert "\n" not in message
    return message


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL, ids=lambda c: c.__name__)
def test_defaults_survive_json(kind: type[Config]) -> None:
    written = json.loads(json.dumps(kind().to_dict()))
    assert kind.from_dict(written) == kind()
    assert kind.from_dict({}) == kind()


@pytest.mark.parametrize("kind", ALL, ids=lambda c: c.__name__)
def test_every_field_is_written_out(kind: type[Config]) -> None:
    assert list(kind().to_dict()) == [f.name for f in dataclasses.fields(kind)]


def test_other_values_survive_json_too() -> None:
    changed = VocoderConfig(
        mel=MelConfig(n_mels=80, hop=128, floor=1e-7), input="mel", hop=128, bandwidths=(1.5, 3.0, 6.0), num_layers=4
    )
    read = VocoderConfig.from_dict(json.loads(json.dumps(changed.to_dict())))
    assert read == changed
    assert read.mel.n_mels == 80
    assert read.bandwidths == (1.5, 3.0, 6.0)


@given(
    steps=st.none() | st.integers(1, 256),
    method=st.sampled_from([None, "euler", "midpoint", "rk4"]),
    cfg=st.none() | st.floats(0, 10),
    sway_coef=st.none() | st.floats(-1, 1),
    speed=st.floats(0.25, 4),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
def test_any_valid_options_survive_json(**values: Any) -> None:
    options = SpeakOptions(**values)
    assert SpeakOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_nested_config_is_built_from_its_own_object() -> None:
    read = NanospeechConfig.from_dict({"dim": 256, "mel": {"n_mels": 80}})
    assert read.dim == 256
    assert read.mel == MelConfig(n_mels=80)
    assert NanospeechConfig.from_dict({"mel": MelConfig(n_mels=64)}).mel.n_mels == 64


def test_lists_become_tuples_and_integers_floats() -> None:
    read = TrainConfig.from_dict({"betas": [0.5, 0], "clip_norm": 2})
    assert read.betas == (0.5, 0.0)
    assert [type(b) for b in read.betas] == [float, float]
    assert type(read.clip_norm) is float
    hash(read)  # a list in it would make it unhashable


def test_configs_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SpeakOptions().speed = 2.0  # type: ignore[misc]


# --- unknown settings -------------------------------------------------------------------------------------------------


def test_unknown_setting_is_refused_with_the_nearest_and_all_valid_names() -> None:
    with pytest.raises(ValueError) as error:
        MelConfig.from_dict({"n_mel": 80}, where="model/config.json")
    message = one_line(error)
    assert "model/config.json" in message
    assert "'n_mel'" in message
    assert "did you mean 'n_mels'" in message
    assert all(f.name in message for f in dataclasses.fields(MelConfig))


def test_unknown_setting_far_from_any_gets_no_suggestion() -> None:
    with pytest.raises(ValueError) as error:
        MelConfig.from_dict({"zzzzzz": 1})
    message = one_line(error)
    assert "zzzzzz" in message
    assert "did you mean" not in message


def test_unknown_setting_in_a_nested_object_says_where() -> None:
    with pytest.raises(ValueError) as error:
        NanospeechConfig.from_dict({"mel": {"hopp": 256}}, where="config.json")
    message = one_line(error)
    assert "config.json: mel" in message
    assert "'hop'" in message


def test_replace_changes_checks_and_refuses_unknown_names() -> None:
    assert SpeakOptions().replace(speed=2.0) == SpeakOptions(speed=2.0)
    with pytest.raises(ValueError, match="sped"):
        SpeakOptions().replace(sped=2.0)
    with pytest.raises(ValueError, match="speed is 9"):
        SpeakOptions().replace(speed=9.0)


# --- wrong types and values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        (MelConfig, {"n_mels": "80"}, "n_mels is '80'"),
        (MelConfig, {"n_mels": 80.0}, "n_mels is 80.0"),
        (MelConfig, {"n_mels": True}, "n_mels is True"),
        (MelConfig, {"n_mels": None}, "n_mels"),
        (MelConfig, {"floor": "small"}, "floor is 'small'"),
        (MelConfig, {"floor": True}, "floor is True"),
        (NanospeechConfig, {"audio_prompt": 1}, "audio_prompt is 1"),
        (NanospeechConfig, {"text_align": "middle"}, "text_align is 'middle'"),
        (NanospeechConfig, {"text_align": ["pad"]}, "text_align"),
        (NanospeechConfig, {"mel": 80}, "mel"),
        (NanospeechConfig, {"mel": None}, "mel"),
        (TrainConfig, {"betas": 0.9}, "betas is 0.9"),
        (TrainConfig, {"betas": ["a", "b"]}, "betas is 'a'"),
        (TrainConfig, {"betas": "12"}, "betas is '12'"),
        (SpeakOptions, {"voice": 7}, "voice is 7"),
        (SpeakOptions, {"voice": None}, "voice"),
        (SpeakOptions, {"steps": 7.5}, "steps is 7.5"),
        (SpeakOptions, {"method": "heun"}, "method is 'heun'"),
    ],
)
def test_wrong_type_or_choice_is_named(kind: type[Config], values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError) as error:
        kind.from_dict(values, where="config.json")
    message = one_line(error)
    assert message.startswith("config.json")
    assert named in message


@pytest.mark.parametrize("values", [[], "text", 3, None])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match=r"config\.json: expected an object"):
        MelConfig.from_dict(values, where="config.json")


def test_choices_are_listed() -> None:
    with pytest.raises(ValueError, match="pad, average, durations"):
        NanospeechConfig.from_dict({"text_align": "middle"})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (MelConfig, {"sample_rate": 7999}),
        (MelConfig, {"n_fft": 1023}),
        (MelConfig, {"hop": 0}),
        (MelConfig, {"hop": 1025}),
        (MelConfig, {"n_mels": -1}),
        (MelConfig, {"floor": 0.0}),
        (VocoderConfig, {"dim": 0}),
        (VocoderConfig, {"hop": 320}),  # not the mel's
        (NanospeechConfig, {"dim": 100}),
        (NanospeechConfig, {"head_dim": 63}),
        (NanospeechConfig, {"audio_prompt": False}),  # and no speaker vector
        (NanospeechConfig, {"dropout": 1.0}),
        (NanospeechConfig, {"mel_scale": 0.0}),
        (NanospeechConfig, {"patch": 0}),
        (DurationConfig, {"text_dim": 511}),
        (SamplingConfig, {"steps": 0}),
        (SamplingConfig, {"max_seconds": 44.0}),
        (SamplingConfig, {"min_seconds": 20.0}),
        (TrainConfig, {"betas": (0.9,)}),
        (TrainConfig, {"betas": (0.9, 1.0)}),
        (TrainConfig, {"learning_rate": 0.0}),
        (TrainConfig, {"final_learning_rate": 1.0}),
        (TrainConfig, {"min_seconds": 20.0}),
        (TrainConfig, {"ema": 1.0}),
        (TrainConfig, {"workers": -1}),
    ],
)
def test_value_out_of_range_is_refused_however_it_comes(kind: type[Config], values: dict[str, Any]) -> None:
    name, value = next(iter(values.items()))
    for build in (lambda: kind(**values), lambda: kind.from_dict(values)):
        with pytest.raises(ValueError) as error:
            build()
        message = one_line(error)
        assert name in message
        assert repr(value) in message
        assert "must be" in message


@pytest.mark.parametrize(
    "kind", [MelConfig, VocoderConfig, NanospeechConfig, DurationConfig, SamplingConfig, TrainConfig]
)
def test_no_numeric_setting_may_be_nan_or_infinite(kind: type[Config]) -> None:
    """Python's json reads NaN and Infinity; a training that starts with one of them is lost."""
    for name in [f.name for f in dataclasses.fields(kind) if f.type == "float"]:
        for value in ("NaN", "Infinity", "-Infinity"):
            with pytest.raises(ValueError, match=name):
                kind.from_dict(json.loads(f'{{"{name}": {value}}}'))


# --- speaking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ({"steps": 0}, "from 1 to 256"),
        ({"steps": 257}, "from 1 to 256"),
        ({"method": "heun"}, "euler, midpoint or rk4"),
        ({"cfg": -0.1}, "from 0 to 10"),
        ({"cfg": 10.5}, "from 0 to 10"),
        ({"cfg": float("nan")}, "from 0 to 10"),
        ({"sway_coef": 1.1}, "from -1 to 1"),
        ({"speed": 0.0}, "from 0.25 to 4"),
        ({"speed": 4.1}, "from 0.25 to 4"),
        ({"speed": float("nan")}, "from 0.25 to 4"),
        ({"seed": -1}, "from 0 to 2**63 - 1"),
        ({"seed": 2**63}, "from 0 to 2**63 - 1"),
    ],
)
def test_speak_option_out_of_range_says_what_is_right(values: dict[str, Any], right: str) -> None:
    with pytest.raises(ValueError) as error:
        SpeakOptions(**values)
    message = one_line(error)
    assert repr(next(iter(values.values()))) in message
    assert right in message


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 1},
        {"steps": 256},
        {"cfg": 0.0},
        {"cfg": 10.0},
        {"sway_coef": -1.0},
        {"sway_coef": 1.0},
        {"speed": 0.25},
        {"speed": 4.0},
        {"seed": 0},
        {"seed": 2**63 - 1},
    ],
)
def test_speak_option_at_its_limit_is_taken(values: dict[str, Any]) -> None:
    name, value = next(iter(values.items()))
    assert getattr(SpeakOptions(**values), name) == value


@pytest.mark.parametrize(
    "values",
    [{"steps": 7.5}, {"steps": "7"}, {"steps": True}, {"speed": "fast"}, {"seed": 1.5}, {"cfg": "2"}, {"voice": 7}],
)
def test_speak_option_of_a_wrong_type_is_a_value_error(values: dict[str, Any]) -> None:
    """What `TTS.speak` is given as keywords comes this way: it must not fail as a TypeError of a comparison."""
    with pytest.raises(ValueError) as error:
        SpeakOptions.from_dict(values)
    assert next(iter(values)) in one_line(error)


def test_default_voice_is_built_in() -> None:
    assert SpeakOptions().voice in config.BUILTIN_VOICES


def test_every_speak_option_that_is_left_to_the_model_belongs_to_an_engine() -> None:
    left = {f.name for f in dataclasses.fields(SpeakOptions) if f.default is None} - {"seed"}
    assert left == set(SpeakOptions.ENGINE) == {*SamplingConfig.OPTIONS, *WhisperspeechConfig.OPTIONS}
    assert set(SamplingConfig.OPTIONS) <= {f.name for f in dataclasses.fields(SamplingConfig)}


def test_an_option_that_the_engine_lacks_is_refused_with_those_that_it_has() -> None:
    SpeakOptions(temperature=0.0, speed=2.0).check_engine(SamplingConfig.OPTIONS)
    with pytest.raises(ValueError, match="top_k is 0, but this model has no such option; it has steps, method, cfg"):
        SpeakOptions(top_k=0).check_engine(SamplingConfig.OPTIONS)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_frame_rate_is_not_rounded() -> None:
    assert MelConfig().frame_rate == 93.75


def test_exact_div_refuses_a_remainder() -> None:
    assert exact_div(24_000, 320, "codec frames") == 75
    with pytest.raises(ValueError, match="codec frames: 24000 is not a multiple of 256"):
        exact_div(24_000, 256, "codec frames")


def test_input_channels_follow_the_input() -> None:
    assert VocoderConfig().input_channels == 100
    assert VocoderConfig(input="codes", n_fft=1280, hop=320).input_channels == 128
