"""What a player finds in a sound file, read by a process of its own: by FFmpeg (PyAV), or by mutagen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FFMPEG = """
import av, json, sys
with av.open(sys.argv[1]) as file:
    found = {"tags": {key.lower(): value for key, value in file.metadata.items()}}
    for stream in file.streams.audio:
        found["tags"].update({key.lower(): value for key, value in stream.metadata.items()})
    found["chapters"] = [
        [float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"]]
        for c in file.chapters()
    ]
    found["covers"] = [[s.codec_context.name, s.width, s.height] for s in file.streams.video]
    found["seconds"] = file.duration / av.time_base
    found["codec"] = file.streams.audio[0].codec_context.name
    found["bit_rate"] = file.bit_rate
print(json.dumps(found))
"""
MUTAGEN = """
import json, mutagen, sys
file = mutagen.File(sys.argv[1])
pictures = [picture.data for picture in getattr(file, "pictures", [])]
for key, value in file.tags.items():
    if key == "covr":
        pictures += map(bytes, value)
    elif key.startswith("APIC"):
        pictures.append(value.data)
    elif key == "metadata_block_picture":
        import base64
        pictures += [mutagen.flac.Picture(base64.b64decode(text)).data for text in value]
tags = {}
for key, value in file.tags.items():
    if key == "covr":
        continue
    value = getattr(value, "text", value)
    tags[key.rpartition(":")[2].lower()] = [v.decode() if isinstance(v, bytes) else str(v) for v in value][:1] \\
        if isinstance(value, list) else str(value)
print(json.dumps({"tags": tags, "covers": [len(p) for p in pictures], "seconds": file.info.length}))
"""


def probe(path: Path, program: str = FFMPEG) -> dict[str, Any]:
    """Return tags, chapters (start, end, title), covers and length."""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
