"""report.html, the model card and the curves of a trained voice: plain files that need nothing else."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.audio.io import encode
from vivavoce.audio.mel import mel_filterbank

WIDTH, HEIGHT = 640, 220  # pixels of the curves
MARGIN = 44
COLOURS = ("#00897b", "#c2185b", "#5c6bc0", "#ef6c00")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; text-align: left;
  border-bottom: 1px solid #ddd } figure { margin: 1rem 0 } img { width: 100%; image-rendering: auto }
.notice { border-left: 4px solid #ef6c00; padding-left: 1rem } .chosen { font-weight: bold }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } td, th { border-color: #444 } }
"""


def curves(series: Mapping[str, Sequence[tuple[float, float]]], label: str = "minutes") -> str:
    """Return an SVG of losses over time: name -> (x, y) points. Lines of fewer than two points are left out."""
    shown = {name: points for name, points in series.items() if len(points) > 1}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#888">'
    ]
    if shown:
        every = [point for points in shown.values() for point in points]
        x0, x1 = min(x for x, _ in every), max(x for x, _ in every)
        y0, y1 = min(y for _, y in every), max(y for _, y in every)

        def place(x: float, y: float) -> str:
            across = MARGIN + (WIDTH - 2 * MARGIN) * (x - x0) / max(x1 - x0, 1e-9)
            up = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (y - y0) / max(y1 - y0, 1e-9)
            return f"{across:.1f},{up:.1f}"

        for (name, points), colour in zip(shown.items(), COLOURS, strict=False):
            path = " ".join(place(x, y) for x, y in points)
            lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
            number = list(shown).index(name)
            lines.append(f'<text x="{MARGIN + 150 * number}" y="16" fill="{colour}">{html.escape(name)}</text>')
        for text, x, y in (
            (f"{y1:.3g}", 4, MARGIN), (f"{y0:.3g}", 4, HEIGHT - MARGIN), (f"{x0:.3g}", MARGIN, HEIGHT - 20),
            (f"{x1:.3g} {label}", WIDTH - 2 * MARGIN, HEIGHT - 20),
        ):  # fmt: skip
            lines.append(f'<text x="{x}" y="{y}">{text}</text>')
    return "\n".join([*lines, "</svg>\n"])


def loss_curves(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[tuple[float, float]]]:
    """Return the series of `curves` from the rows of logs, by model; each is scaled to its first value."""
    series = {}
    for model, log in rows.items():
        for name, key in ((f"{model}, training", "loss"), (f"{model}, held out", "valid_loss")):
            points = [(float(row.get("minutes", 0)), float(row[key])) for row in log if key in row]
            if points:
                series[name] = [(x, y / points[0][1]) for x, y in points]
    return series


def spectrogram_png(samples: Samples, sample_rate: int) -> bytes:
    """Return a grey PNG of a sound's log-mel spectrogram, low frequencies at the bottom. [S]"""
    size, hop = 1024, 256
    wave = np.pad(np.asarray(samples, np.float32), (size // 2, size // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32)))
    mel = np.log(np.maximum(power @ mel_filterbank(sample_rate, size, 100), 1e-5))
    low, high = np.percentile(mel, 5), mel.max()
    scaled = np.clip((mel - low) / max(float(high - low), 1e-6), 0, 1)
    return png((255 * (1 - scaled.T[::-1])).astype(np.uint8).repeat(2, axis=0))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a grey picture [rows, columns] as PNG."""
    rows, columns = pixels.shape
    content = zlib.compress(np.pad(pixels, ((0, 0), (1, 0))).tobytes(), 9)  # each row begins with its filter, 0

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def page(
    name: str,
    facts: Sequence[tuple[str, str]],
    notices: Sequence[str],
    candidates: Sequence[Sequence[str]],
    svg: str,
    sounds: Sequence[tuple[str, Samples, int]],
) -> str:
    """Return report.html. candidates: rows of a table, the first is its head. sounds: title, samples [S], rate."""
    parts = [
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(name)}</title>',
        f"<style>{_STYLE}</style>\n<h1>{html.escape(name)}</h1>",
        *(f'<p class="notice">{html.escape(notice)}</p>' for notice in notices),
        _table(facts),
        "<h2>Checkpoints</h2>",
        _table(candidates),
        "<h2>Losses, relative to the first</h2>",
        svg,
        "<h2>Listen</h2>",
    ]
    for title, samples, rate in sounds:
        sound = base64.b64encode(encode(samples, rate, "mp3")).decode()
        picture = base64.b64encode(spectrogram_png(samples, rate)).decode()
        parts.append(
            f"<figure><figcaption>{html.escape(title)}</figcaption>"
            f'<audio controls preload="none" src="data:audio/mpeg;base64,{sound}"></audio><br>'
            f'<img alt="spectrogram" src="data:image/png;base64,{picture}"></figure>'
        )
    return "\n".join([*parts, "</html>\n"])


def card(name: str, facts: Sequence[tuple[str, str]], notices: Sequence[str]) -> str:
    """Return MODEL_CARD.md."""
    lines = [f"# {name}", "", "A voice made by `vivavoce train-voice`.", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {' '.join(value.split())} |" for key, value in facts]
    lines += ["", *notices, "", "![Losses](curves.svg)", ""]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
