"""The report of `prepare`: what was kept and what was dropped, counted while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import soundfile

from vivavoce.prepare.checks import Outcome

EXAMPLES = 10  # keys of dropped recordings that the report lists for each reason
UNNAMED = "(unnamed)"  # stands for an unknown speaker


def new_tally() -> dict[str, Any]:
    """Return empty counts, as JSON. Utterances and seconds are [int, float]."""
    return {"train": [0, 0.0], "valid": [0, 0.0], "speakers": {}, "languages": {}, "dropped": {}, "outside": {}}


def count_kept(tally: dict[str, Any], split: str, meta: dict[str, Any]) -> None:
    """Count an utterance with these metadata in `split`, "train" or "valid"."""
    for counts in (
        tally[split],
        tally["speakers"].setdefault(meta["speaker"] or UNNAMED, [0, 0.0]),
        tally["languages"].setdefault(meta["lang"], [0, 0.0]),
    ):
        counts[0] += 1
        counts[1] += meta["duration"]


def count_dropped(tally: dict[str, Any], outcome: Outcome) -> None:
    """Count a dropped recording by its reason, and the characters for which it was dropped."""
    entry = tally["dropped"].setdefault(outcome.reason, {"utterances": 0, "examples": []})
    entry["utterances"] += 1
    if len(entry["examples"]) < EXAMPLES:
        entry["examples"].append(outcome.key)
    for character in outcome.outside:
        tally["outside"][character] = tally["outside"].get(character, 0) + 1


def report(
    tally: dict[str, Any],
    *,
    source: str,
    kind: str,
    shards: tuple[int, int],
    vocabulary: int,
    new_letters: str,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Return the report of a finished run, as JSON. `shards`: of training and of validation."""
    train, valid, dropped = tally["train"], tally["valid"], tally["dropped"]
    return {
        "input": source,
        "kept": _total([train[0] + valid[0], train[1] + valid[1]]),
        "train": {**_total(train), "shards": shards[0]},
        "valid": {**_total(valid), "shards": shards[1]},
        "speakers": {name: _total(counts) for name, counts in sorted(tally["speakers"].items())},
        "languages": {name: _total(counts) for name, counts in sorted(tally["languages"].items())},
        "dropped": {
            "utterances": sum(entry["utterances"] for entry in dropped.values()),
            "reasons": dict(sorted(dropped.items(), key=lambda item: (-item[1]["utterances"], item[0]))),
            "outside_vocabulary": dict(sorted(tally["outside"].items(), key=lambda item: (-item[1], item[0]))),
        },
        "vocabulary": {"characters": vocabulary, "added": new_letters},
        "settings": settings,
        "versions": {
            **_versions("vivavoce", "numpy", "soundfile", "soxr"),
            "libsndfile": soundfile.__libsndfile_version__,
            **(_versions("datasets") if kind == "huggingface" else {}),
        },
    }


def summary(report: dict[str, Any]) -> str:
    """Return a report in two or three lines."""
    train, valid, dropped = report["train"], report["valid"], report["dropped"]
    lines = [
        f"{report['kept']['utterances']} utterances, {report['kept']['hours']:.2f} hours, "
        f"{len(report['speakers'])} speakers: {train['utterances']} for training in {train['shards']} shards, "
        f"{valid['utterances']} for validation"
    ]
    if dropped["utterances"]:
        reasons = [f"{entry['utterances']} {reason}" for reason, entry in dropped["reasons"].items()]
        lines.append(f"{dropped['utterances']} dropped: {'; '.join(reasons)}")
    return "\n".join(lines)


def _total(counts: Sequence[float]) -> dict[str, Any]:
    return {"utterances": int(counts[0]), "hours": round(counts[1] / 3600, 4)}


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
