"""Command-line flags as dataclasses: each class is a group of flags that belong together, and commands combine groups.

A field's annotation holds its flag and help text, so that a flag which several commands share is described once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from vivavoce.config import BACKENDS, PROSODY_LIMITS, SpeakOptions
from vivavoce.text.prosody import (
    STYLES,
    NoProsody,
    Prosody,
    described,
    parse_energy,
    parse_factor,
    parse_pitch,
    parse_style,
)

DEFAULTS = SpeakOptions()

_AS_MODEL = "default: the model's own"
_STYLES = ", ".join(f"{name} ({' '.join(described(style))})" for name, style in STYLES.items())


def whole_number(value: str) -> int:
    """Parse an integer flag. Unlike typer's own parser, the error message quotes the value."""
    try:
        return int(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a whole number") from None


def number(value: str) -> float:
    """Parse a number flag."""
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a number") from None


def _checked(parse: Callable[[str], float]) -> Callable[[str], float]:
    def parsed(value: str) -> float:
        try:
            return parse(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


PITCH: dict[str, Any] = {"parser": _checked(parse_pitch), "metavar": "SEMITONES"}
ENERGY: dict[str, Any] = {"parser": _checked(parse_energy), "metavar": "DB"}
RANGE: dict[str, Any] = {"parser": _checked(lambda value: parse_factor(value, "range")), "metavar": "FACTOR"}
PACE: dict[str, Any] = {"parser": _checked(lambda value: parse_factor(value, "pace")), "metavar": "FACTOR"}
WHOLE: dict[str, Any] = {"parser": whole_number, "metavar": "INTEGER"}
NUMBER: dict[str, Any] = {"parser": number, "metavar": "NUMBER"}


@dataclass(frozen=True)
class Flags:
    """Base of all groups of flags."""

    def given(self) -> dict[str, Any]:
        """Return the flags that were set, by field name. Flags left at None, False or [] are not set."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value for name, value in values.items() if value is not None and value is not False and value != []
        }


def takes(*groups: type[Flags]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a function of flag groups into a function of single flags, as typer expects it."""
    parameters: list[inspect.Parameter] = []
    hints: dict[str, Any] = {}
    for group in groups:
        hints |= (annotations := typing.get_type_hints(group, include_extras=True))
        for field in dataclasses.fields(group):
            required = field.default is dataclasses.MISSING
            default = inspect.Parameter.empty if required else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=annotations[field.name]))

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            function(*(group(**{f.name: values[f.name] for f in dataclasses.fields(group)}) for group in groups))

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: hints[parameter.name] for parameter in parameters}
        return command

    return decorate


# --- groups that several commands share ------------------------------------------------------------------------------


@dataclass(frozen=True)
class VoiceFlags(Flags):
    """Whose voice to speak with."""

    voice: Annotated[
        str | None,
        typer.Option(
            help=f"A voice that 'vivavoce voices' lists (default: {DEFAULTS.voice}), or the file of a saved one, such "
            f"as me.voice."
        ),
    ] = None
    ref_audio: Annotated[
        str | None, typer.Option(metavar="PATH", help="Clone the voice of this recording of 1 to 15 seconds.")
    ] = None
    ref_text: Annotated[str | None, typer.Option(help="Transcript of --ref-audio.")] = None


@dataclass(frozen=True)
class MarkupFlags(Flags):
    """How to read the text."""

    lang: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Language of the text, such as fr (default: en). Tags switch it within the text: [fr]bonjour[en].",
        ),
    ] = None
    ssml: Annotated[
        bool,
        typer.Option("--ssml", help="Read the text as SSML. Plain text may contain tags, such as [pause 500ms]."),
    ] = False
    lexicon: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Pronunciation file: a word, a tab and how to read it on each line."),
    ] = None


@dataclass(frozen=True)
class ModelFlags(Flags):
    """Which model speaks, and where it runs."""

    model: Annotated[
        str | None,
        typer.Option(help="nanospeech, whisperspeech, a model folder or a Hugging Face name (default: nanospeech)."),
    ] = None
    backend: Annotated[str | None, typer.Option(help=f"One of {', '.join(BACKENDS)} (default: auto).")] = None
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda (cuda:1 is the second GPU) or mps (default: auto).")
    ] = None


@dataclass(frozen=True)
class FlowFlags(Flags):
    """Options of the flow, which every kind of generation has."""

    steps: Annotated[int | None, typer.Option(**WHOLE, help=f"Flow-matching steps ({_AS_MODEL}).")] = None
    method: Annotated[str | None, typer.Option(help=f"ODE solver: euler, midpoint or rk4 ({_AS_MODEL}).")] = None
    cfg: Annotated[
        float | None, typer.Option(**NUMBER, help=f"Classifier-free guidance strength; 0 turns it off ({_AS_MODEL}).")
    ] = None
    sway_coef: Annotated[
        float | None,
        typer.Option(**NUMBER, help=f"Sway sampling coefficient, -1 to 1; 0 spaces steps evenly ({_AS_MODEL})."),
    ] = None
    temperature: Annotated[
        float | None, typer.Option(**NUMBER, help=f"Sampling temperature, 0 to 2 ({_AS_MODEL}).")
    ] = None


@dataclass(frozen=True)
class SamplingFlags(FlowFlags):
    """Options of the generation, the fields of `SpeakOptions` without voice and seed."""

    top_k: Annotated[
        int | None,
        typer.Option(**WHOLE, help=f"whisperspeech: sample from the K likeliest tokens; 0 for all ({_AS_MODEL})."),
    ] = None
    speed: Annotated[
        float | None, typer.Option(**NUMBER, help=f"Speaking rate; 2 is twice as fast (default: {DEFAULTS.speed:g}).")
    ] = None
    pitch: Annotated[
        float | None,
        typer.Option(**PITCH, help="Semitones above or below the voice's own pitch, such as +2st."),
    ] = None
    pitch_range: Annotated[
        float | None,
        typer.Option(
            "--range",
            **RANGE,
            help="How far the pitch moves: 0.6 is flat, 1.5 very lively (default: 1).",
        ),
    ] = None
    energy: Annotated[float | None, typer.Option(**ENERGY, help="Louder or softer, -12 to 8 dB, such as +3dB.")] = None
    pace: Annotated[
        float | None,
        typer.Option(**PACE, help="As --speed, but the model chooses which sounds to shorten, if it can (default: 1)."),
    ] = None
    style: Annotated[
        str | None,
        typer.Option(
            help=f"Values for the four above, which override them: {_STYLES}. Needs a model with prosody "
            "conditions, as nanospeech has."
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the flags that were set, with the values of the style. Raises ValueError for an unknown style."""
        values = super().given()
        if name := values.pop("style", None):
            values = {**parse_style(name).options(), **values}
        return values

    def prosody(self) -> Prosody:
        """Return the prosody that is asked for. Raises ValueError for an unknown style."""
        given = {name: value for name, value in self.given().items() if name in PROSODY_LIMITS}
        return Prosody(**{name.removeprefix("pitch_"): value for name, value in given.items()})

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Name the flags as they were given in the error of a model without prosody conditions."""
        try:
            yield
        except NoProsody as error:
            flag = error.what.replace("pitch_range", "--range").replace("pitch is", "--pitch is")
            raise NoProsody(flag if self.style is None else f"--style is {self.style!r}") from None
