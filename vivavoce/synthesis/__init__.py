"""From text to speech: plan the pieces, have an engine speak them, check and level the result.

    plan         PlannedPiece
    planner      Planner: text -> planned pieces
    synthesizer  Synthesizer: planned pieces -> speech; the caller runs the engine
    checks       heuristic audio quality checks
    verify       TranscriptChecker: compares speech with its transcript
    speech       Speech
    timing       pieces with the timing of a recording of the same words
    prefetch     computes ahead in the background
    preview      what would be spoken
    tts          load, TTS: the public interface

Import the module that has the name: `from vivavoce.synthesis.tts import load`.
"""
