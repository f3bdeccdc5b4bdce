"""What the synthesizer requests of a system, what it does with the results, and how a stream works ahead."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.tones import LONG, RATE, SECONDS_PER_CHARACTER, Tones

from vivavoce import audio
from vivavoce.synthesis.prefetch import StopToken, prefetch
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import SILENCE_BLOCK
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError, SynthesisRequest, SynthesisResult
from vivavoce.voices import Voice


def same(first: Speech, second: Speech) -> bool:
    return np.array_equal(first.samples, second.samples) and first.words == second.words


# ---- the engine run by the caller, as a server does ---------------------------------------------------------------


def test_pieces_requested_one_by_one_are_what_speak_returns(tts: TTS, system: Tones, voice: Voice) -> None:
    synthesizer = tts.begin(LONG, voice, seed=4)
    parts = []
    while (request := synthesizer.next_request()) is not None:
        assert synthesizer.next_request() == request
        synthesizer.submit(system.synthesize([request])[0])
        speech = synthesizer.take_speech()
        assert speech is not None and synthesizer.take_speech() is None
        parts.append(speech)
    assert same(Speech.join(parts), tts.speak(LONG, voice, seed=4))
    assert synthesizer.done == pytest.approx(1.0)


def test_energy_makes_speech_louder_where_it_is_asked_for(tts: TTS, voice: Voice) -> None:
    plain, softer = (tts.speak("Say it again, please.", voice, energy=dB, seed=1) for dB in (0.0, -6.0))
    assert audio.rms_db(softer.samples) - audio.rms_db(plain.samples) == pytest.approx(-6, abs=0.1)
    partly = tts.speak("Say it again, [energy -9]please.[/energy]", voice, seed=1)
    change = [
        audio.rms_db(partly.samples[middle : middle + 1000]) - audio.rms_db(plain.samples[middle : middle + 1000])
        for middle in (int((word.start + word.end) / 2 * RATE) for word in plain.words)
    ]
    assert change == pytest.approx([0, 0, 0, -9], abs=0.1)


def test_a_loud_word_leaves_the_others_as_they_are(tts: TTS, voice: Voice) -> None:
    plain, loud = (tts.speak(f"Say it {tag}again, please.", voice, seed=1) for tag in ("", "[energy +8]"))
    first = slice(0, int(plain.words[1].start * RATE))
    assert audio.rms_db(loud.samples[first]) == pytest.approx(audio.rms_db(plain.samples[first]), abs=0.5)
    assert np.abs(loud.samples).max() <= 0.951
    with pytest.raises(ValueError, match=r"energy is 9.0; it must be from -12 to 8"):
        tts.speak("Say it again.", voice, energy=9)


def test_each_voice_continues_from_its_own_last_piece(tts: TTS, system: Tones, voice: Voice) -> None:
    tts.speak("One of us. [voice:nash]Two of us. [/voice]Three of us. [voice:nash]Four of us.", voice)
    memories = [(job.voice.name, job.memory) for job in system.asked]
    assert memories == [("tester", None), ("nash", None), ("tester", "One of us."), ("nash", "Two of us.")]


def test_each_notice_appears_once(tts: TTS, system: Tones, voice: Voice) -> None:
    synthesizer = tts.begin("A ☃ here.\n\nAnd a ☃ there, and a ☎.", voice)
    notices = []
    while (request := synthesizer.next_request()) is not None:
        synthesizer.submit(system.synthesize([request])[0])
        notices += synthesizer.take_notices()
    assert len(notices) == 2 and "☃" in notices[0] and "☎" in notices[1] and "☃" not in notices[1]


@pytest.mark.parametrize(
    "text", [f"{'[pause 60s]' * 20}Hello.", f"Hello.{'[pause 60s]' * 20}", LONG * 60, f"[speed:0.25]{LONG * 20}"]
)
def test_speech_over_the_limit_is_refused_before_anything_is_spoken(
    tts: TTS, system: Tones, voice: Voice, text: str
) -> None:
    with pytest.raises(ValueError, match="more than 900 s, which is the limit"):
        tts.begin(text, voice, max_seconds=900)
    assert system.asked == []


def test_speech_under_the_limit_is_not_refused(tts: TTS, system: Tones, voice: Voice) -> None:
    text = f"{LONG} [pause 60s] {LONG}"
    seconds = tts.speak(text, voice).duration
    first = tts.begin(text, voice, max_seconds=1.02 * seconds).next_request()
    assert first is not None and first.piece.text == "The sun had gone down behind the hills,"
    with pytest.raises(ValueError, match="limit"):
        tts.begin(text, voice, max_seconds=0.98 * seconds)


# ---- attempts and levels ------------------------------------------------------------------------------------------


def failing(system: Tones, times: int) -> list[int]:
    """Let the next `times` pieces be silent. Return the seeds that are tried."""
    seeds: list[int] = []
    synthesize = system.synthesize

    def fail(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        made = synthesize(jobs)
        seeds.extend(job.seed for job in jobs)
        return [dataclasses.replace(m, samples=0 * m.samples) for m in made] if len(seeds) <= times else made

    system.synthesize = fail  # type: ignore[method-assign]
    return seeds


def test_a_failed_piece_is_retried_with_another_seed(tts: TTS, system: Tones, voice: Voice) -> None:
    expected = tts.speak(LONG, voice, seed=4)
    seeds = failing(system, 2)
    spoken = tts.speak(LONG, voice, seed=4)
    assert len(set(seeds)) == len(seeds) == len(spoken.pieces) + 2
    first = len(spoken.samples) - len(expected.samples)
    assert first == 0 and np.array_equal(spoken.samples[-RATE:], expected.samples[-RATE:])
    assert not np.array_equal(spoken.samples[:RATE], expected.samples[:RATE])


def test_a_cut_piece_is_retried_with_extra_duration(tts: TTS, system: Tones, voice: Voice) -> None:
    synthesize = system.synthesize

    def cut(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        made = synthesize(jobs)
        whole = jobs[0].extra_duration or "second" not in jobs[0].piece.text
        return made if whole else [dataclasses.replace(m, samples=m.samples[round(0.3 * RATE) :]) for m in made]

    system.synthesize = cut  # type: ignore[method-assign]
    speech = tts.speak("The first of them.\n\nThe second of them.\n\nThe third of them.", voice)
    assert [(check.tries, check.faults) for check in speech.checks] == [(1, ()), (2, ()), (1, ())]
    assert [job.extra_duration for job in system.asked] == [False, False, True, False]


def test_other_failures_get_no_extra_duration(tts: TTS, system: Tones, voice: Voice) -> None:
    failing(system, 1)
    tts.speak("A text of some length.", voice)
    assert [job.extra_duration for job in system.asked] == [False, False]


def test_the_number_of_retries_is_limited(tts: TTS, system: Tones, voice: Voice) -> None:
    seeds = failing(system, 99)
    with pytest.raises(SynthesisError, match="silence.*The sun"):
        tts.speak(LONG, voice, retries=1)
    assert len(seeds) == 2
    with pytest.raises(ValueError, match="retries is -1"):
        tts.stream(LONG, voice, retries=-1)


def test_a_pause_within_a_piece_does_not_make_it_louder(tts: TTS, system: Tones, voice: Voice) -> None:
    plain = tts.speak("A text of some length.", voice, seed=1).samples
    synthesize = system.synthesize

    def pausing(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        silence = np.zeros(RATE, np.float32)
        return [dataclasses.replace(m, samples=np.concatenate((m.samples, silence))) for m in synthesize(jobs)]

    system.synthesize = pausing  # type: ignore[method-assign]
    paused = tts.speak("A text of some length.", voice, seed=1).samples
    assert audio.rms_db(paused[: len(plain)]) == pytest.approx(audio.rms_db(plain), abs=0.1)


def test_words_are_timed_pauses_counted(tts: TTS, voice: Voice) -> None:
    text = "[pause 1s]Good café. [pause 2s]Well then."
    with pytest.warns(UserWarning, match="'é' is read as 'e'"):  # the words keep their spelling
        words = tts.speak(text, voice).words
    each = SECONDS_PER_CHARACTER
    assert [word.text for word in words] == ["Good", "café.", "Well", "then."]
    starts = [1.0, 1.0 + 4 * each, 3.0 + 10 * each, 3.0 + 14 * each]  # the next word starts in the space
    assert [word.start for word in words] == pytest.approx(starts, abs=1e-3)
    ends = [1.0 + 4 * each, 1.0 + 10 * each, 3.0 + 14 * each, 3.0 + 20 * each]
    assert [word.end for word in words] == pytest.approx(ends, abs=1e-3)
    with pytest.warns(UserWarning, match="'é'"):
        pieces = list(tts.stream(text, voice))
    assert [word.start for word in pieces[1].words] == pytest.approx([0.0, 4 * each], abs=1e-3)


def test_a_model_without_times_gives_none(tts: TTS, system: Tones, voice: Voice) -> None:
    synthesize = system.synthesize
    system.synthesize = lambda *a: [dataclasses.replace(m, ends=None) for m in synthesize(*a)]  # type: ignore[method-assign]
    assert tts.speak("Good morning.", voice).words == ()


def test_requested_silence_is_in_the_samples(tts: TTS, voice: Voice) -> None:
    samples = tts.speak("[pause 1s]Good morning.[pause 2s]", voice).samples
    loud = np.flatnonzero(np.abs(samples) > 0.001)
    assert loud[0] / RATE == pytest.approx(1.0, abs=0.02)  # the tone starts softly
    assert (len(samples) - loud[-1]) / RATE == pytest.approx(2.0, abs=0.02)


# ---- a stream -----------------------------------------------------------------------------------------------------


def test_the_next_piece_is_generated_in_the_background(tts: TTS, system: Tones, voice: Voice) -> None:
    second = threading.Event()
    synthesize = system.synthesize

    def notify(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        if system.asked:
            second.set()
        return synthesize(jobs)

    system.synthesize = notify  # type: ignore[method-assign]
    stream = tts.stream(LONG, voice)
    next(stream)
    assert second.wait(10)
    stream.close()  # type: ignore[attr-defined]


def test_closing_a_stream_stops_the_work(tts: TTS, system: Tones, voice: Voice) -> None:
    """Within a piece, at the next progress report of the engine."""
    began, stopped = threading.Event(), threading.Event()
    synthesize = system.synthesize

    def endless(jobs: list[SynthesisRequest], progress: object) -> list[SynthesisResult]:
        if not system.asked:
            return synthesize(jobs)
        began.set()
        try:
            while True:
                progress(0.1)  # type: ignore[operator]
        finally:
            stopped.set()

    system.synthesize = endless  # type: ignore[method-assign]
    before = set(threading.enumerate())
    stream = tts.stream(LONG, voice)
    next(stream)
    assert began.wait(10)
    stream.close()  # type: ignore[attr-defined]
    assert stopped.is_set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_an_error_is_raised_in_place_of_its_piece(tts: TTS, system: Tones, voice: Voice) -> None:
    synthesize = system.synthesize

    def fail(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        if len(system.asked) == 2:
            raise MemoryError("full")
        return synthesize(jobs)

    system.synthesize = fail  # type: ignore[method-assign]
    got = []
    with pytest.raises(MemoryError, match="full"):
        for piece in tts.stream(LONG, voice):
            got.append(piece)
    assert len(got) == 2


def test_text_may_come_while_it_is_spoken(tts: TTS, voice: Voice) -> None:
    listening = threading.Event()

    def tokens() -> Iterator[str]:
        yield "The first sentence "
        yield "is here. And the second one begins right "
        assert listening.wait(10)  # fails if the first piece waits for more text
        yield "away. The end."

    pieces = []
    for piece in tts.stream(tokens(), voice, seed=2):
        listening.set()
        pieces.append(piece)
    whole = "The first sentence is here. And the second one begins right away. The end."
    assert " ".join(p.text for p in pieces) == whole and len(pieces) == 3
    again = tts.stream(iter(whole), voice, seed=2)  # character by character
    assert all(same(*pair) for pair in zip(pieces, again, strict=True))


def test_an_error_in_the_text_stream_is_raised(tts: TTS, voice: Voice) -> None:
    def tokens() -> Iterator[str]:
        yield "The first sentence is here. And now "
        raise ConnectionError("the model has gone")

    with pytest.raises(ConnectionError, match="has gone"):
        list(tts.stream(tokens(), voice))


def test_a_text_stream_cannot_be_ssml(tts: TTS, voice: Voice) -> None:
    with pytest.raises(ValueError, match="one str"):
        tts.stream(iter(["<speak>"]), voice, ssml=True)


def test_ssml_and_its_voices_are_spoken(tts: TTS, system: Tones, voice: Voice) -> None:
    document = '<speak>Good <break time="1s"/> <voice name="nash">morning to all.</voice></speak>'
    spoken = tts.speak(document, voice, ssml=True)
    assert [job.voice.name for job in system.asked] == ["tester", "nash"]
    assert [job.piece.text for job in system.asked] == ["Good", "morning to all."]
    assert spoken.pieces[0].pause == 1.0


def test_only_a_few_items_are_computed_ahead() -> None:
    made: list[int] = []
    full = threading.Event()

    def compute() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                full.set()
            yield number

    items = prefetch(compute(), StopToken())
    assert not made and next(items) == 0 and full.wait(10)
    assert len(made) <= 3
    assert list(items) == list(range(1, 100))


def test_the_thread_ends_when_only_the_first_item_is_used() -> None:
    made: list[int] = []

    def compute() -> Iterator[int]:
        for number in range(1_000):
            made.append(number)
            yield number

    before = set(threading.enumerate())
    next(iter(prefetch(compute(), StopToken())))  # discarded at once
    assert not set(threading.enumerate()) - before
    assert len(made) < 10


def test_closing_does_not_wait_for_a_text_stream_that_is_silent(tts: TTS, voice: Voice) -> None:
    waiting, released = threading.Event(), threading.Event()

    def tokens() -> Iterator[str]:
        yield "The first sentence is here. And the second one begins right away. And now comes the third, which "
        waiting.set()
        released.wait(60)

    stream = tts.stream(tokens(), voice)
    next(stream)
    next(stream)
    assert waiting.wait(10)
    stream.close()  # type: ignore[attr-defined]
    assert not released.is_set()
    released.set()


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:3]
from helpers.tones import LONG, Tones, tester
from vivavoce.synthesis.tts import TTS
system = Tones()
synthesize = system.synthesize
def busy(jobs, progress=None):
    import torch
    for step in range(50):
        torch.nn.functional.conv1d(torch.ones(1, 64, 4000), torch.ones(64, 64, 9))
        progress(step / 50)
    return synthesize(jobs, progress)
system.synthesize = busy
stream = TTS(system).stream(LONG, tester())
next(stream)
"""


def test_a_process_may_end_in_the_middle_of_a_stream(root: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-c", SCRIPT, str(root / "tests"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_told_to_load_the_model_itself(tts: TTS, voice: Voice) -> None:
    stream = tts.stream(LONG, voice)
    next(stream)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(RuntimeError, match="load the model in the new process"):
                tts.speak("Hello.", voice)
            with pytest.raises(RuntimeError, match="before a fork"):
                list(stream)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(stream)) > 2


# ---- long silence -------------------------------------------------------------------------------------------------


def test_long_silence_comes_in_blocks(tts: TTS, voice: Voice) -> None:
    text = "[pause 12s]Good morning. [pause 11s]Well then. [pause 4s]Bye."
    parts = list(tts.stream(text, voice, seed=1))
    assert [part.text for part in parts] == ["", "", "", "Good morning.", "", "", "", "Well then.", "Bye."]
    assert all(part.duration <= SILENCE_BLOCK for part in parts if not part.text)
    whole = tts.speak(text, voice, seed=1)
    assert same(Speech.join(parts, text), whole)
    assert [word.text for word in whole.words] == ["Good", "morning.", "Well", "then.", "Bye."]
    assert whole.words[0].start == pytest.approx(12.0, abs=1e-3)
    assert Speech.join(parts).text == "Good morning. Well then. Bye."


def test_hours_of_silence_take_no_memory(tts: TTS, voice: Voice) -> None:
    """4,000 pauses of a minute: 67 hours, 23 GB of samples."""
    stream = tts.stream(f"Hello there.{'[pause 60s]' * 4_000} Bye then.", voice)
    tracemalloc.start()
    try:
        seconds = sum(part.duration for part in itertools.islice(stream, 2_000))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
        stream.close()  # type: ignore[attr-defined]
    assert seconds > 1_900 * SILENCE_BLOCK
