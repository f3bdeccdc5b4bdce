"""`aspeak` and `astream`: the same speech as without an event loop, which keeps running meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from helpers.tones import LONG, Tones

from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.voices import Voice, get

STORY = "The sun had gone down. Nobody spoke for a long time. At last the old man rose, and went to the door."


class Slow(Tones):
    """Takes a tenth of a second for each pass."""

    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        for _ in range(10):
            time.sleep(0.01)
            if progress is not None:
                progress(0.5)
        return super().synthesize(jobs, progress)


@pytest.fixture(scope="module")
def voice() -> Voice:
    return get("nash")


async def letters(text: str, pause: float = 0.0) -> AsyncIterator[str]:
    for word in text.split(" "):
        await asyncio.sleep(pause)
        yield f"{word} "


def test_the_same_samples_as_without_an_event_loop(voice: Voice) -> None:
    tts = TTS(Tones())

    async def both() -> None:
        whole = await tts.aspeak(LONG, voice, seed=3)
        parts = [part async for part in tts.astream(LONG, voice, seed=3)]
        assert len(parts) > 1
        expected = tts.speak(LONG, voice, seed=3)
        assert np.array_equal(whole, expected) and whole.text == expected.text
        assert np.array_equal(np.concatenate(parts), expected)

    asyncio.run(both())


def test_the_event_loop_runs_meanwhile(voice: Voice) -> None:
    async def count() -> int:
        ticks = 0
        speaking = asyncio.create_task(TTS(Slow()).aspeak(LONG, voice))
        while not speaking.done():
            await asyncio.sleep(0.005)
            ticks += 1
        await speaking
        return ticks

    assert asyncio.run(count()) > 10


def test_text_may_be_an_asynchronous_iterator(voice: Voice) -> None:
    tts = TTS(Tones())

    async def speak() -> str:
        return " ".join([part.text async for part in tts.astream(letters(STORY), voice)])

    assert asyncio.run(speak()).split() == STORY.split()


def test_a_cancelled_task_stops_the_work(voice: Voice) -> None:
    system = Slow()
    tts = TTS(system)

    async def cancel(text: str | AsyncIterator[str]) -> None:
        async def listen() -> None:
            async for _ in tts.astream(text, voice):
                pass

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.3)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(listening, 5)
        done = len(system.asked)
        await asyncio.sleep(0.3)
        assert len(system.asked) == done

    asyncio.run(cancel(LONG * 20))
    asyncio.run(cancel(letters(LONG, pause=60)))  # while it waits for text


def test_errors_and_warnings_reach_the_task(voice: Voice) -> None:
    tts = TTS(Tones())
    with pytest.raises(ValueError, match="the text is empty"):
        asyncio.run(tts.aspeak(" ", voice))
    with pytest.raises(ValueError, match="did you mean 'speed'"):
        asyncio.run(tts.aspeak("Hello.", voice, sped=2))
    with pytest.warns(UserWarning, match="☃"):
        asyncio.run(tts.aspeak("A ☃ here.", voice))


def test_an_editor_completes_the_options() -> None:
    options = set(inspect.signature(TTS.speak).parameters)
    assert {"speed", "seed", "lang", "steps", "cfg", "temperature", "progress"} <= options
    for method in (TTS.stream, TTS.aspeak, TTS.astream):
        assert set(inspect.signature(method).parameters) == options
