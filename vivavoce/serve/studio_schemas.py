"""Shapes of requests and responses below /v1/studio."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Take(_Model):
    """A recording."""

    id: str
    seconds: float
    text: str = Field(description='What is said in it; "": Whisper will write it.')
    sentence: int | None = Field(description="Number of the script's sentence that is read, from 1.")
    faults: list[str] = Field(description="What is wrong with it, in words for the speaker.")


class Stage(_Model):
    """A stage of the training."""

    name: str
    title: str
    done: bool
    seconds: float
    line: str = Field(description="What it has found.")
    notices: list[str]


class Checkpoint(_Model):
    """A checkpoint that was judged; base is the model before training, which only clones."""

    name: str
    likeness: dict[str, float] = Field(description="To the held-out recordings, by speaker encoder.")
    way: float = Field(description="From the nearest built-in voice (0) to the speaker (1).")
    wer: float | None = Field(description="Word error rate; null if there is no recogniser.")


class Sound(_Model):
    """Something to listen to."""

    key: str
    title: str
    text: str


class Training(_Model):
    """The progress of the training."""

    status: Literal["new", "running", "stopped", "failed", "done"]
    error: str
    stages: list[Stage]
    stage: str = Field(description="Name of the stage that is being done.")
    doing: str
    done: float = Field(description="Part of that stage, 0 to 1.")
    left: float | None = Field(description="Seconds of that stage, roughly; null if that is unknown yet.")
    trained: float = Field(description="Minutes of training so far.")
    minutes: float = Field(description="Minutes of training, at most.")
    curves: dict[str, list[tuple[float, float]]] = Field(
        description="By model: losses over minutes, relative to the first."
    )
    checkpoints: list[Checkpoint]
    chosen: str = Field(description="Name of the checkpoint that became the voice.")
    sounds: list[Sound]


class Project(_Model):
    """A voice that is being made."""

    name: str
    takes: list[Take]
    minutes: float = Field(description="Of all recordings.")
    advice: str = Field(description="What to expect of so many minutes.")
    state: Training
    changed: bool = Field(description="Whether the recordings are others than those that the run learns from.")
    voice: bool = Field(description="Whether the finished voice is a voice of this server.")


class Studio(BaseModel):
    """The voices that are being made."""

    object: Literal["vivavoce.studio"] = "vivavoce.studio"
    names: list[str]
    running: str | None = Field(description="The one that is being trained.")
    can_transcribe: bool = Field(description="Whether recordings may lack a text: Whisper (extra eval) writes it.")
    scripts: list[int] = Field(description="Sizes of the script of English sentences.")
    max_upload_mb: float
    max_seconds: float = Field(description="Of one recording.")


class Script(BaseModel):
    """Sentences to record, the most varied ones first."""

    sentences: list[str]


class NewProject(BaseModel):
    """A voice to make."""

    name: str = Field(min_length=1, max_length=60)


class StartTraining(BaseModel):
    """How to train."""

    consent: str = Field(
        min_length=10, max_length=1_000, description="What the speaker agrees to, and when; stored in the voice's file."
    )
    minutes: float = Field(60.0, gt=0, le=1_440, allow_inf_nan=False, description="Of training, at most.")
    licence: str = Field("private", min_length=1, max_length=200)
    lang: str = Field("en", max_length=20, description="Language of the recordings, as a code.")
    again: bool = Field(False, description="Delete an earlier run and its voice, and train from the start.")


class Deleted(BaseModel):
    id: str
    object: Literal["vivavoce.studio.deleted"] = "vivavoce.studio.deleted"
    deleted: bool = True
