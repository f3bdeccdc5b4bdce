"""What a narration collects: the samples, words and chapters of one output file, and those of one section."""

from __future__ import annotations

import numpy as np

from vivavoce.audio.dsp import pcm
from vivavoce.audio.io import Writer
from vivavoce.audio.tags import Mark
from vivavoce.books.original import restore
from vivavoce.books.section_store import Pcm, Section
from vivavoce.synthesis.speech import Speech
from vivavoce.systems.interface import Word


class Track:
    """One output file: its samples, and the times of its chapters and words."""

    def __init__(self, sample_rate: int, writer: Writer | None, captioned: bool) -> None:
        self.samples = 0  # so far
        self.words: list[Word] = []
        self.marks: list[Mark] = []
        self.captioned = captioned  # whether the words are kept
        self._rate, self._writer = sample_rate, writer

    def begin(self, title: str) -> None:
        """Start a chapter here."""
        self.marks.append(Mark(self.samples / self._rate, title))

    def add(self, section: Section) -> None:
        at = self.samples / self._rate
        if self.captioned:
            self.words += [word.later(at) for word in section.words]
        for block in section.blocks(self._rate):
            self.add_samples(block)

    def restore(self, first: int, text: str) -> None:
        """Give the words from `first` on the spelling of the text that they are."""
        self.words[first:] = restore(self.words[first:], text)

    def add_samples(self, samples: Pcm) -> None:
        if self._writer is not None:
            self._writer.add(samples)
        self.samples += len(samples)


class SpokenSection:
    """Collects the pieces of a section. Of long silence it keeps only the length."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples: list[Pcm] = []
        self._words: list[Word] = []
        self._gaps: list[tuple[int, int]] = []
        self._stored = self._total = 0

    def add(self, speech: Speech) -> None:
        at = self._total / self._rate
        self._words += [word.later(at) for word in speech.words]
        self._total += len(speech)
        if speech.pieces:
            self._samples.append(pcm(speech.samples))
            self._stored += len(speech)
        elif self._gaps and self._gaps[-1][0] == self._stored:
            self._gaps[-1] = (self._stored, self._gaps[-1][1] + len(speech))
        else:
            self._gaps.append((self._stored, len(speech)))

    def section(self, done: float) -> Section:
        samples = np.concatenate(self._samples) if self._samples else np.zeros(0, np.int16)
        return Section(samples, tuple(self._words), done, tuple(self._gaps))
