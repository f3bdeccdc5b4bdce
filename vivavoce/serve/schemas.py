"""Shapes of requests and responses: those of OpenAI's API, with a few additional optional fields.

Sources: the types of openai-python 3 and OpenAI's API reference (audio, models, errors).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vivavoce.config import SPEEDS

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Id = Annotated[str, Field(min_length=1, max_length=200)]


class VoiceId(BaseModel):
    """A voice, by its id in `GET /v1/audio/voices`."""

    id: Id


def _no_bool(value: Any) -> Any:
    """Refuse true and false, which pydantic reads as 1 and 0. Numbers may be strings."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Number = Annotated[float, BeforeValidator(_no_bool)]
Whole = Annotated[int, BeforeValidator(_no_bool)]


class SpeechRequest(BaseModel):
    """The text, the voice and the options. Fields that are null or "" take their defaults."""

    model_config = ConfigDict(extra="allow")  # a header of the answer names unknown fields

    input: str = Field(min_length=1, description="The text to speak.")
    model: Id | None = Field(
        None,
        description="A model in `GET /v1/models`; default: the first one, which OpenAI's tts-1, tts-1-hd and "
        "gpt-4o-mini-tts also mean.",
    )
    voice: Id | VoiceId | None = Field(
        None,
        description='Name of a built-in voice, id of an added one, {"id": …}, or one of the aliases in '
        "`GET /v1/audio/voices`, such as OpenAI's alloy.",
    )
    instructions: str | None = Field(
        None,
        description="Words such as slowly, softly, higher, lively or flat are followed; a header of the answer names "
        "the rest.",
    )
    response_format: Format = "mp3"
    speed: Number = Field(
        1.0, ge=SPEEDS[0], le=SPEEDS[1], allow_inf_nan=False, description="Speaking rate; 2 is twice as fast."
    )
    pitch: Number = Field(
        0.0, ge=-6, le=6, allow_inf_nan=False, description="Extension: semitones above or below the voice's own pitch."
    )
    pitch_range: Number = Field(
        1.0, ge=0.3, le=2, allow_inf_nan=False, description="Extension: how far the pitch moves; 1 is the voice's own."
    )
    energy: Number = Field(0.0, ge=-12, le=8, allow_inf_nan=False, description="Extension: dB louder or softer.")
    pace: Number = Field(
        1.0,
        ge=0.5,
        le=2,
        allow_inf_nan=False,
        description="Extension: as speed, but the model chooses which sounds to shorten, if it can.",
    )
    like: Id | VoiceId | None = Field(
        None,
        description="Extension: a voice whose recording's pace, pitch range and rise of energy are followed, where no "
        "other field asks for something else. If its transcript is the input, it is followed word by word.",
    )
    stream_format: Literal["audio", "sse"] = "audio"
    lang: str | None = Field(
        None, max_length=20, description="Extension: language of the text, for models with several languages."
    )
    seed: Whole | None = Field(
        None, ge=0, lt=2**63, description="Extension: random seed; the same seed gives the same speech."
    )
    steps: Whole | None = Field(
        None,
        ge=1,
        le=64,
        description="Extension: flow-matching steps; more take longer. Default: what the model recommends. Models "
        "without steps refuse it.",
    )
    timestamps: bool = Field(
        False, description="Extension: with stream_format sse, send vivavoce.words events with the time of each word."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_variants(cls, values: Any) -> Any:
        """Accept requests as common clients send them: null and "" mean missing, and case does not matter."""
        if not isinstance(values, dict):
            return values
        given = {name: value for name, value in values.items() if value is not None}
        for name in ("response_format", "stream_format"):
            if isinstance(given.get(name), str):
                given[name] = given[name].strip().lower()
        return {name: value for name, value in given.items() if name == "input" or value != ""}


class Error(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every error response."""

    error: Error


class Model(BaseModel):
    """A model of this server."""

    id: str
    name: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the server started, in seconds since 1970.")
    owned_by: str = "vivavoce"
    languages: list[str] = Field(description="Extension: codes of the model's languages, the default one first.")
    needs_transcript: bool = Field(description="Extension: whether an added voice needs a transcript.")
    max_characters: int = Field(description="Extension: the most characters that a request may have.")
    prosody: list[str] = Field(description="Extension: the fields of prosody that the model follows.")
    styles: dict[str, dict[str, float]] = Field(
        description="Extension: named values for these fields; none for a model that follows only some of them."
    )
    conversions: list[str] = Field(
        description='Extension: what `POST /v1/audio/convert` can do: "recording" alone, recording with its "text".'
    )


class ModelList(BaseModel):
    """The models, under OpenAI's name `data` and under `models`, which some clients expect."""

    object: Literal["list"] = "list"
    data: list[Model]
    models: list[Model]


class Voice(BaseModel):
    """A voice, built-in or added from a recording."""

    id: str
    object: Literal["audio.voice"] = "audio.voice"
    created_at: int
    name: str
    type: Literal["audio_sample", "builtin"]
    description: str
    language: str
    licence: str
    consent: str = Field("", description="Extension: what the speaker agreed to.")
    aliases: list[str] = Field([], description="Extension: other names that stand for this voice, such as OpenAI's.")
    notices: list[str] = Field([], description="Changes made to the recording, such as cutting it.")


class VoiceList(BaseModel):
    """The voices, under OpenAI's name `data` and under `voices`, which some clients expect."""

    object: Literal["list"] = "list"
    data: list[Voice]
    voices: list[Voice]


class VoiceDeleted(BaseModel):
    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: bool = True


class Chapter(BaseModel):
    """A chapter of a book."""

    title: str = Field(description='"" for a text without chapters.')
    parts: list[str] = Field(description="The text in parts, each short enough for one request for speech.")


class Book(BaseModel):
    """A file, as it is read aloud."""

    object: Literal["vivavoce.book"] = "vivavoce.book"
    title: str
    chapters: list[Chapter]
    notices: list[str] = Field(description="What is left out or was guessed.")


class Health(BaseModel):
    status: Literal["ok", "unavailable"]
    workers: int = Field(description="Number of workers that are ready.")


# --- events of stream_format sse: each is the data of one server-sent event ------------------------------------------


class Usage(BaseModel):
    """Tokens: characters of the text, and hundredths of a second of speech."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class AudioDelta(BaseModel):
    """The next bytes of the audio, in base64."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str


class AudioDone(BaseModel):
    """The audio is complete."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: Usage


class TimedWord(BaseModel):
    """A word and its time, in seconds from the start of the audio."""

    word: str
    start: float
    end: float


class Words(BaseModel):
    """Extension, with timestamps: the words of the audio that follows."""

    type: Literal["vivavoce.words"] = "vivavoce.words"
    words: list[TimedWord]


class Notice(BaseModel):
    """Extension, with timestamps: something is not spoken as written."""

    type: Literal["vivavoce.notice"] = "vivavoce.notice"
    message: str


class Failure(BaseModel):
    """The audio ends here, incomplete."""

    type: Literal["error"] = "error"
    error: Error


Event = AudioDelta | AudioDone | Words | Notice | Failure
