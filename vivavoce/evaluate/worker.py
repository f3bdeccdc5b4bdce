"""Score clips in the workers of a Ray cluster. Each has the plan, its own model and judges, and one thread."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vivavoce.evaluate.clips import Wave
from vivavoce.evaluate.judge import Clip, Judge, Score
from vivavoce.systems.interface import SynthesisError

if TYPE_CHECKING:
    from vivavoce.evaluate.plan import Group, Load, Request

Plan = Callable[["Request", "Load"], "list[Group]"]
LoadJudge = Callable[[str, int], Judge]  # recognizer's name, clips at once


@dataclass(frozen=True)
class Job:
    """A clip to score: its numbers in the plan, and its audio if that is stored already."""

    group: int
    item: int
    wave: Wave | None = None


@dataclass(frozen=True)
class Scored:
    """The score of a job, and the audio that was generated for it."""

    group: int
    item: int
    score: Score
    wave: Wave | None = None


_groups: list[Group] = []  # of this process
_judge: Judge | None = None


def start(plan: Plan, request: Request, load: Load, load_judge: LoadJudge) -> None:
    """Set up this process. Raises ValueError for what this node lacks."""
    global _groups, _judge
    _groups, _judge = plan(request, load), load_judge(request.asr, 1)
    judge_of.cache_clear()


def score(job: Job) -> Scored:
    """Generate or read a clip, and score it. Raises ValueError for audio that cannot be read."""
    item = _groups[job.group].items[job.item]
    wave = job.wave
    if wave is None:
        try:
            wave = item.make()
        except SynthesisError as error:
            failed = Score.failed(item.key, item.voice, item.transcript.text, str(error))
            return Scored(job.group, job.item, failed)
    clip = Clip(item.key, item.voice, item.transcript.text, *wave, item.transcript.languages)
    return Scored(job.group, job.item, judge_of(job.group).score(clip), wave if item.generated else None)


@functools.cache
def judge_of(group: int) -> Judge:
    """Return the judge with the references of a group."""
    assert _judge is not None  # `start` runs first
    return with_references(_judge, _groups[group])


def with_references(judge: Judge, group: Group) -> Judge:
    """Return a judge that compares the voices of a group with its references."""
    judge = dataclasses.replace(judge, references={})
    for voice in group.references:
        judge.add_reference(voice.name, voice.samples, voice.sample_rate, voice.transcript)
    return judge
