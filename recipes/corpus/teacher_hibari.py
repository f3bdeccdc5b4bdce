"""The second teacher: hibari-tts (Apache-2.0), a small network distilled from Kokoro's af_heart, which is our celeste.

It reads only English, in that one voice, about a hundred times faster than real time on one core. Its wheel contains
the network and the lexicons; `read` returns the same form as Kokoro's.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from prosody import Labels, followed, lengths, louder, part
from teacher import FRAME, LEAD, MAX_PHONEMES, PROSODY_HOP, Reading, Recipe, bare, prosody, seconds, trimmed

VOICE = "af_heart"  # the Kokoro voice that it learned from
# Tensors inside the graph: frames for each token, the padding at both ends included, and energy; F0 is an output of it
DURATIONS = "/Clip_output_0"
ENERGY = "/Mul_62_output_0"
DB_PER_UNIT = 2.95  # of energy: the median of 40 sentences


class Hibari:
    """hibari-tts, ready to read. One thread."""

    def __init__(self, folder: Path | None = None):
        """folder: Kokoro's, which hibari does not need. Raises ValueError if a package is missing."""
        try:
            import hibari
            import onnx
            import onnxruntime
            from hibari.voices import voice_path
        except ModuleNotFoundError as error:
            raise ValueError(
                f"the package {error.name} is missing: pip install -r recipes/corpus/requirements.txt"
            ) from None
        self._hibari = hibari.Hibari()
        self._synth = hibari.dsp.synth
        graph = onnx.load(voice_path("heart"))
        for name in (DURATIONS, ENERGY):
            graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        self._graph = graph
        self._parts: tuple[Any, Any, Any] | None = None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._network: Any = onnxruntime.InferenceSession(graph.SerializeToString(), options)

    def read(
        self, text: str, recipe: Recipe, speed: float = 1.0, lang: str = "en", labels: Labels | None = None
    ) -> Reading:
        """Speak English `text` as celeste; with `labels`, in that prosody.

        The noise in the voice depends on the text alone, so the same text always sounds the same. Raises ValueError for
        another voice or language, and for a text of no or too many phonemes.
        """
        if lang != "en" or recipe != {VOICE: 1.0}:
            raise ValueError(f"hibari reads English as {VOICE} only; here it is {lang} by {', '.join(recipe)}")
        phonemes, owner = self.phonemes(text)
        if not 0 < len(phonemes) <= MAX_PHONEMES:
            raise ValueError(f"{len(phonemes)} phonemes, where the teacher reads 1 to {MAX_PHONEMES}")
        inputs = {"ids": np.array([self._hibari.ids(phonemes)], np.int64), "speed": np.array([speed], np.float32)}
        if labels is None:
            *spectra, pitch, durations, energy = self._network.run(None, inputs)
            gain = np.ones(pitch.size, np.float32)
        else:
            spectra, pitch, durations, energy, gain = self._directed(inputs, phonemes, owner, labels)
        noise = np.random.default_rng(zlib.crc32(text.encode()))
        wave = louder(self._synth(*(spectrum[0] for spectrum in spectra), pitch[0], noise), gain, PROSODY_HOP)
        samples, front = trimmed(wave)
        if labels is not None:
            labels = labels.quieter(float(np.abs(samples).max() / np.abs(wave).max()))
        edges = seconds(np.cumsum(durations.reshape(-1)) * FRAME - LEAD - front, len(samples))
        words = []
        for number, word in enumerate(text.split()):
            places = [i for i, place in enumerate(owner) if place == number and bare(phonemes[i])]
            if places:
                words.append((word, edges[places[0]], edges[places[-1] + 1]))
        phones = [(phone, edges[i], edges[i + 1]) for i, phone in enumerate(phonemes)]
        return Reading(samples, words, phonemes, "us", phones, prosody(pitch, energy, front, len(samples)), labels)

    def _directed(
        self, inputs: dict[str, Any], phonemes: str, owner: list[int], labels: Labels
    ) -> tuple[list[Any], Any, Any, Any, Any]:
        """Return spectra, F0, durations, energy and gain of a reading with labels. owner: the word of each phoneme."""
        if self._parts is None:
            self._parts = (
                part(self._graph, ["ids", "speed"], [DURATIONS]),
                part(self._graph, ["ids", DURATIONS], ["f0", ENERGY]),
                part(self._graph, ["ids", DURATIONS, "f0", ENERGY], ["lh", "theta", "ln", "lr", "phi"]),
            )
        first, second, third = self._parts
        words = [(-1, False), *((word, bool(bare(c))) for word, c in zip(owner, phonemes, strict=True)), (-1, False)]
        (own,) = first.run(None, inputs)
        durations = lengths(own.reshape(-1), words, labels)
        given = {"ids": inputs["ids"], DURATIONS: durations.reshape(own.shape)}
        pitch, energy = second.run(None, given)
        *curves, gain = followed(pitch.reshape(-1), energy.reshape(-1), durations, words, labels, DB_PER_UNIT)
        given |= {name: curve.reshape(pitch.shape) for name, curve in zip(("f0", ENERGY), curves, strict=True)}
        return third.run(None, given), given["f0"], durations, given[ENERGY], gain

    def phonemes(self, text: str) -> tuple[str, list[int]]:
        """Return `text` in Kokoro's phonemes, and the index of the word that each of them belongs to.

        Raises ValueError if hibari would read other words than the written ones, as with abbreviations.
        """
        g2p = self._hibari.g2p
        spoken: list[tuple[str, int]] = []
        number = 0
        for token in g2p.phonemize_tokens(g2p.tokenize(text)):
            spoken += [(c, number) for c in (token.phonemes or "") + (" " if token.whitespace else "")]
            number += bool(token.whitespace)
        if number + 1 != len(text.split()):
            raise ValueError("its words are not those that are written")
        known = [(c, place) for c, place in spoken if c in self._hibari.vocab]
        while known and known[-1][0] == " ":
            known.pop()
        return "".join(c for c, _ in known), [place for _, place in known]
