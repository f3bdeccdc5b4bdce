"""The shapes of requests and answers: OpenAI's, with a few fields of our own that its clients ignore or may leave out.

Sources: the types of openai-python 3 and OpenAI's API reference (audio, models, errors).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Id = Annotated[str, Field(min_length=1, max_length=200)]


class VoiceId(BaseModel):
    """A voice by its id, as `GET /v1/audio/voices` tells it."""

    id: Id


class SpeechRequest(BaseModel):
    """What to say, who says it, and how."""

    model_config = ConfigDict(extra="allow")  # what is not known is named in a header of the answer

    model: Id = Field(description="One of `GET /v1/models`; OpenAI's tts-1, tts-1-hd and gpt-4o-mini-tts: the first.")
    input: str = Field(min_length=1, description="The text.")
    voice: Id | VoiceId = Field(description="A built-in voice's name, an added one's id, or {\"id\": …}.")
    instructions: str | None = Field(None, description="Accepted, not followed; the answer's header says so.")
    response_format: Format = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0, allow_inf_nan=False, description="2: twice as fast.")
    stream_format: Literal["audio", "sse"] = "audio"
    lang: str | None = Field(
        None, max_length=20, description="Our own: the text's language, where a model has several."
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="Our own: the same seed makes the same speech.")
    timestamps: bool = Field(
        False, description="Our own: with stream_format sse, events vivavoce.words tell when each word is spoken."
    )


class Error(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    error: Error


class Model(BaseModel):
    """A model that speaks here."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it was loaded, in seconds since 1970.")
    owned_by: str = "vivavoce"
    languages: list[str] = Field(description="Our own: codes of the languages that it speaks, the usual one first.")
    needs_transcript: bool = Field(description="Our own: whether an added voice must come with its transcript.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Voice(BaseModel):
    """A voice, built in or added from a recording."""

    id: str
    object: Literal["audio.voice"] = "audio.voice"
    created_at: int
    name: str
    type: Literal["audio_sample", "builtin"]
    description: str
    language: str
    licence: str
    notices: list[str] = Field([], description="What was done to the recording that its owner should know.")


class VoiceList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Voice]


class VoiceDeleted(BaseModel):
    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: bool = True


class Health(BaseModel):
    status: Literal["ok", "unavailable"]
    workers: int = Field(description="Workers that are ready.")


# --- events of stream_format sse, each the data of one server-sent event ---------------------------------------------


class Usage(BaseModel):
    """Our tokens: characters of the text, and hundredths of a second of speech."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class AudioDelta(BaseModel):
    """The next bytes of the sound, in base64."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str


class AudioDone(BaseModel):
    """The sound is complete."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: Usage


class TimedWord(BaseModel):
    """A word and when it is spoken: seconds from the start of the sound."""

    word: str
    start: float
    end: float


class Words(BaseModel):
    """Our own, where timestamps are asked for: the words of the sound that comes next."""

    type: Literal["vivavoce.words"] = "vivavoce.words"
    words: list[TimedWord]


class Notice(BaseModel):
    """Our own, where timestamps are asked for: something is not spoken as it is written."""

    type: Literal["vivavoce.notice"] = "vivavoce.notice"
    message: str


class Failure(BaseModel):
    """The sound ends here, incomplete."""

    type: Literal["error"] = "error"
    error: Error


Event = AudioDelta | AudioDone | Words | Notice | Failure
