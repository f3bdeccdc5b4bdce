"""What is asked of a system and done with what it made, and the thread that is a piece ahead."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from test_synthesis import LONG, RATE, SECONDS_PER_CHARACTER, Tones

from vivavoce import audio
from vivavoce.pieces import Job, Made
from vivavoce.speaking import Switch, ahead
from vivavoce.synthesis import TTS, Speech, SynthesisError
from vivavoce.voices import Voice


@pytest.fixture
def system() -> Tones:
    return Tones()


@pytest.fixture
def tts(system: Tones) -> TTS:
    return TTS(system)


@pytest.fixture
def voice() -> Voice:
    return Voice("tester", np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32))


def same(first: Speech, second: Speech) -> bool:
    return np.array_equal(first.samples, second.samples) and first.words == second.words


# ---- by hand, as a server does it ---------------------------------------------------------------------------------


def test_pieces_made_by_hand_are_what_speak_makes(tts: TTS, system: Tones, voice: Voice) -> None:
    speaking = tts.begin(LONG, voice, seed=4)
    made = []
    while speaking.jobs:
        speech = speaking.put(system.waves(list(speaking.jobs)))
        assert speech is not None
        made.append(speech)
    assert same(Speech.join(made), tts.speak(LONG, voice, seed=4))
    assert speaking.done == pytest.approx(1.0)


def test_each_voice_goes_on_from_what_it_said_before(tts: TTS, system: Tones, voice: Voice) -> None:
    tts.speak("One of us. [voice:nash]Two of us. [/voice]Three of us. [voice:nash]Four of us.", voice)
    memories = [(job.voice.name, job.memory) for job in system.asked]
    assert memories == [("tester", None), ("nash", None), ("tester", "One of us."), ("nash", "Two of us.")]


def test_notices_are_told_once(tts: TTS, system: Tones, voice: Voice) -> None:
    speaking = tts.begin("A ☃ here.\n\nAnd a ☃ there, and a ☎.", voice)
    told = []
    while speaking.jobs:
        speaking.put(system.waves(list(speaking.jobs)))
        told += speaking.notices()
    assert len(told) == 2 and "☃" in told[0] and "☎" in told[1] and "☃" not in told[1]


# ---- what becomes of a piece --------------------------------------------------------------------------------------


def failing(system: Tones, times: int) -> list[int]:
    """Makes the next pieces of the system silent; gives the seeds that were tried."""
    seeds: list[int] = []
    waves = system.waves

    def fail(jobs: list[Job], progress: object = None) -> list[Made]:
        made = waves(jobs)
        seeds.extend(job.seed for job in jobs)
        return [dataclasses.replace(m, samples=0 * m.samples) for m in made] if len(seeds) <= times else made

    system.waves = fail  # type: ignore[method-assign]
    return seeds


def test_a_piece_that_failed_is_made_again_with_another_seed(tts: TTS, system: Tones, voice: Voice) -> None:
    expected = tts.speak(LONG, voice, seed=4)
    seeds = failing(system, 2)
    spoken = tts.speak(LONG, voice, seed=4)
    assert len(set(seeds)) == len(seeds) == len(spoken.pieces) + 2
    first = len(spoken.samples) - len(expected.samples)
    assert first == 0 and np.array_equal(spoken.samples[-RATE:], expected.samples[-RATE:])
    assert not np.array_equal(spoken.samples[:RATE], expected.samples[:RATE])


def test_a_piece_that_was_cut_has_more_room_when_it_is_made_again(tts: TTS, system: Tones, voice: Voice) -> None:
    waves = system.waves

    def cut(jobs: list[Job], progress: object = None) -> list[Made]:
        made = waves(jobs)
        whole = jobs[0].roomy or "second" not in jobs[0].piece.text
        return made if whole else [dataclasses.replace(m, samples=m.samples[round(0.3 * RATE) :]) for m in made]

    system.waves = cut  # type: ignore[method-assign]
    speech = tts.speak("The first of them.\n\nThe second of them.\n\nThe third of them.", voice)
    assert [(check.tries, check.faults) for check in speech.checks] == [(1, ()), (2, ()), (1, ())]
    assert [job.roomy for job in system.asked] == [False, False, True, False]


def test_a_piece_that_failed_otherwise_has_no_more_room(tts: TTS, system: Tones, voice: Voice) -> None:
    failing(system, 1)
    tts.speak("A text of some length.", voice)
    assert [job.roomy for job in system.asked] == [False, False]


def test_retries_are_counted(tts: TTS, system: Tones, voice: Voice) -> None:
    seeds = failing(system, 99)
    with pytest.raises(SynthesisError, match="silence.*The sun"):
        tts.speak(LONG, voice, retries=1)
    assert len(seeds) == 2
    with pytest.raises(ValueError, match="retries is -1"):
        tts.stream(LONG, voice, retries=-1)


def test_a_pause_within_a_piece_does_not_make_it_louder(tts: TTS, system: Tones, voice: Voice) -> None:
    plain = tts.speak("A text of some length.", voice, seed=1).samples
    waves = system.waves

    def pausing(jobs: list[Job], progress: object = None) -> list[Made]:
        silence = np.zeros(RATE, np.float32)
        return [dataclasses.replace(m, samples=np.concatenate((m.samples, silence))) for m in waves(jobs)]

    system.waves = pausing  # type: ignore[method-assign]
    paused = tts.speak("A text of some length.", voice, seed=1).samples
    assert audio.rms_db(paused[: len(plain)]) == pytest.approx(audio.rms_db(plain), abs=0.1)


def test_words_are_timed_pauses_counted(tts: TTS, voice: Voice) -> None:
    text = "[pause 1s]Good café. [pause 2s]Well then."
    with pytest.warns(UserWarning, match="'é' is read as 'e'"):  # which nobody needs to see in the words
        words = tts.speak(text, voice).words
    each = SECONDS_PER_CHARACTER
    assert [word.text for word in words] == ["Good", "café.", "Well", "then."]
    starts = [1.0, 1.0 + 4 * each, 3.0 + 10 * each, 3.0 + 14 * each]  # a space is no pause, but the next word's onset
    assert [word.start for word in words] == pytest.approx(starts, abs=1e-3)
    ends = [1.0 + 4 * each, 1.0 + 10 * each, 3.0 + 14 * each, 3.0 + 20 * each]
    assert [word.end for word in words] == pytest.approx(ends, abs=1e-3)
    with pytest.warns(UserWarning, match="'é'"):
        pieces = list(tts.stream(text, voice))
    assert [word.start for word in pieces[1].words] == pytest.approx([0.0, 4 * each], abs=1e-3)


def test_a_model_without_times_gives_none(tts: TTS, system: Tones, voice: Voice) -> None:
    waves = system.waves
    system.waves = lambda *a: [dataclasses.replace(m, ends=None) for m in waves(*a)]  # type: ignore[method-assign]
    assert tts.speak("Good morning.", voice).words == ()


def test_silence_that_is_asked_for_is_in_the_sound(tts: TTS, voice: Voice) -> None:
    samples = tts.speak("[pause 1s]Good morning.[pause 2s]", voice).samples
    loud = np.flatnonzero(np.abs(samples) > 0.001)
    assert loud[0] / RATE == pytest.approx(1.0, abs=0.02)  # a tone takes a moment to swell
    assert (len(samples) - loud[-1]) / RATE == pytest.approx(2.0, abs=0.02)


# ---- a stream -----------------------------------------------------------------------------------------------------


def test_the_next_piece_is_made_while_one_is_listened_to(tts: TTS, system: Tones, voice: Voice) -> None:
    second = threading.Event()
    waves = system.waves

    def told(jobs: list[Job], progress: object = None) -> list[Made]:
        if system.asked:
            second.set()
        return waves(jobs)

    system.waves = told  # type: ignore[method-assign]
    stream = tts.stream(LONG, voice)
    next(stream)
    assert second.wait(10)
    stream.close()  # type: ignore[attr-defined]


def test_a_stream_that_is_left_stops_the_work(tts: TTS, system: Tones, voice: Voice) -> None:
    """Within a piece, wherever the engine tells of its progress."""
    began, stopped = threading.Event(), threading.Event()
    waves = system.waves

    def endless(jobs: list[Job], progress: object) -> list[Made]:
        if not system.asked:
            return waves(jobs)
        began.set()
        try:
            while True:
                progress(0.1)  # type: ignore[operator]
        finally:
            stopped.set()

    system.waves = endless  # type: ignore[method-assign]
    before = set(threading.enumerate())
    stream = tts.stream(LONG, voice)
    next(stream)
    assert began.wait(10)
    stream.close()  # type: ignore[attr-defined]
    assert stopped.is_set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_an_error_comes_in_its_place(tts: TTS, system: Tones, voice: Voice) -> None:
    waves = system.waves

    def fail(jobs: list[Job], progress: object = None) -> list[Made]:
        if len(system.asked) == 2:
            raise MemoryError("full")
        return waves(jobs)

    system.waves = fail  # type: ignore[method-assign]
    got = []
    with pytest.raises(MemoryError, match="full"):
        for piece in tts.stream(LONG, voice):
            got.append(piece)
    assert len(got) == 2


def test_text_may_come_while_it_is_spoken(tts: TTS, voice: Voice) -> None:
    heard = threading.Event()

    def tokens() -> Iterator[str]:
        yield "The first sentence "
        yield "is here. And the second one begins right "
        assert heard.wait(10)  # nobody hears anything if this is waited for
        yield "away. The end."

    pieces = []
    for piece in tts.stream(tokens(), voice, seed=2):
        heard.set()
        pieces.append(piece)
    whole = "The first sentence is here. And the second one begins right away. The end."
    assert " ".join(p.text for p in pieces) == whole and len(pieces) == 3
    again = tts.stream(iter(whole), voice, seed=2)  # character by character
    assert all(same(*pair) for pair in zip(pieces, again, strict=True))


def test_an_error_of_whoever_writes_the_text_comes_through(tts: TTS, voice: Voice) -> None:
    def tokens() -> Iterator[str]:
        yield "The first sentence is here. And now "
        raise ConnectionError("the model has gone")

    with pytest.raises(ConnectionError, match="has gone"):
        list(tts.stream(tokens(), voice))


def test_text_in_scraps_cannot_be_ssml(tts: TTS, voice: Voice) -> None:
    with pytest.raises(ValueError, match="one str"):
        tts.stream(iter(["<speak>"]), voice, ssml=True)


def test_ssml_and_its_voices_are_spoken(tts: TTS, system: Tones, voice: Voice) -> None:
    document = '<speak>Good <break time="1s"/> <voice name="nash">morning to all.</voice></speak>'
    spoken = tts.speak(document, voice, ssml=True)
    assert [job.voice.name for job in system.asked] == ["tester", "nash"]
    assert [job.piece.text for job in system.asked] == ["Good", "morning to all."]
    assert spoken.pieces[0].pause == 1.0


def test_only_a_few_items_are_made_ahead() -> None:
    made: list[int] = []
    full = threading.Event()

    def make(switch: Switch) -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                full.set()
            yield number

    items = ahead(make)
    assert not made and next(items) == 0 and full.wait(10)
    assert len(made) <= 3
    assert list(items) == list(range(1, 100))


def test_nothing_goes_on_after_the_first_item_where_it_is_the_only_one_wanted() -> None:
    made: list[int] = []

    def make(switch: Switch) -> Iterator[int]:
        for number in range(1_000):
            with switch.work():
                made.append(number)
            yield number

    before = set(threading.enumerate())
    next(iter(ahead(make)))  # and forgotten
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert len(made) < 10
