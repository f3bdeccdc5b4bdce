"""From text to speech: plan the pieces, have an engine speak them, check and level the result.

    plan          PlannedPiece
    planner       Planner: text -> planned pieces
    synthesizer   Synthesizer: planned pieces -> speech; the caller runs the engine
    checks        heuristic audio quality checks
    verify        TranscriptChecker: compares speech with its transcript
    speech        Speech
    timing        pieces with the timing of a recording of the same words
    recording     a recording that is given, checked
    manner        pitch, level, pace, range and rise of a recording
    like          Like: a recording in whose manner texts are spoken
    convert       the pieces of a recording in another voice
    likeness      how much speech sounds like the recording that its voice was cloned from
    prefetch      computes ahead in the background
    asynchronous  iterators that compute in a thread, for an event loop
    preview       what would be spoken
    side_by_side  a text and its spoken form in two columns
    tts           load, TTS: the public interface

Import the module that has the name: `from vivavoce.synthesis.tts import load`.
"""
