"""Stands for `vivavoce train-voice` in a process: the same arguments, folder and signals, in seconds.

It waits in the stage "model" until there is a file GO beside its folder, and fails there if there is a file FAIL.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from vivavoce.audio.files import write_json
from vivavoce.audio.io import read
from vivavoce.bundles import write_bundle
from vivavoce.locks import lock_folder
from vivavoce.train_voice import recordings
from vivavoce.train_voice.state import STAGES, Progress, keep_sound
from vivavoce.voices import BUNDLE, add_voice, get, own_path


def main() -> None:
    """Train nothing."""
    source, options = Path(sys.argv[1]), dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    out, name, minutes = Path(options["--out"]), options["--name"], float(options["--minutes"])
    sources = recordings.find_recordings(source)
    with lock_folder(out):
        progress = Progress(out, minutes)
        with progress.watched():
            write_json(out / "run.json", {"recordings": recordings.identity(sources)})
            for folder in ("stages", "training/nanospeech"):
                (out / folder).mkdir(parents=True, exist_ok=True)
            for stage in STAGES:
                done = out / "stages" / f"{stage}.json"
                if done.exists():
                    print(f"{stage} is done already", flush=True)
                    continue
                print(f"{stage} …", flush=True)
                progress.show(stage, "halfway", 0.5)
                work(stage, out, name, minutes, sources, options)
                found = {"seconds": 0.1, "line": f"{stage}: {len(sources)} recordings", "notices": []}
                write_json(done, {**found, "after": {"name": "candidate-2"}} if stage == "choose" else found)


def work(
    stage: str, out: Path, name: str, minutes: float, sources: list[recordings.Source], options: dict[str, str]
) -> None:
    """Do what a stage leaves behind."""
    sound = read(sources[0].path)
    if stage == "model":
        log = out / "training" / "nanospeech" / "log.jsonl"
        rows = [{"minutes": minutes * i / 10, "loss": 1 / (1 + i), "valid_loss": 1.1 / (1 + i)} for i in range(5)]
        log.write_text("".join(json.dumps(row) + "\n" for row in rows))
        keep_sound(out, "0-recording", "the recording", sources[0].text, sound, 24_000)
        keep_sound(out, "2-candidate-1", "candidate-1, 2 minutes of training", sources[0].text, sound, 24_000)
        while not (out.parent / "GO").exists():
            if (out.parent / "FAIL").exists():
                print("vivavoce: the loss is nan at step 3", flush=True)
                raise ValueError("the loss is nan at step 3")
            time.sleep(0.05)
    if stage == "choose":
        for number, one in enumerate(("base", "candidate-1", "candidate-2")):
            judged = {"name": one, "likeness": {"GE2E": 0.6 + number / 10}, "way": number / 3, "wer": 0.05}
            write_json(out / "training" / f"judged-{one}.json", judged)
    if stage == "bundle":
        texts = {"name": name, "consent": options["--consent"], "licence": options["--licence"], "language": "en"}
        write_bundle(out / f"{name}{BUNDLE}", texts, get("nash").samples, training={"run": out.stat().st_ino})
        if own_path(name) is None:
            add_voice(out / f"{name}{BUNDLE}")
    if stage == "speak":
        keep_sound(out, "3-voice-1", "the voice", "This is my voice.", sound, 24_000)
        (out / "report.html").write_text(f"<title>{name}</title>")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except ValueError:
        sys.exit(2)
