"""Engines: loaded models that turn pieces of text into speech.

interface            System: what an engine must offer; SynthesisRequest, SynthesisResult
load                 the registry of engines; load_system
nanospeech           the nanospeech system without its backend
nanospeech_torch     ... in PyTorch
nanospeech_mlx       ... in MLX
nanospeech_onnx      ... in ONNX Runtime, from exported graphs
whisperspeech_torch  the whisperspeech system
frames_torch         whisperspeech in step with the text: frames_mlx, frames_onnx
codes                what semantic codes add to nanospeech: conversion of voices
code_reader_torch    recordings to semantic codes
letter_times_torch   the times of a text's letters in a recording of it
"""
