"""A podcast feed (RSS 2.0 with Apple's tags) of a folder of sound files, so that players can subscribe to a book."""

from __future__ import annotations

import email.utils
import re
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import soundfile

from vivavoce.audio.files import atomic_write

TYPES = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "m4b": "audio/mp4",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
}
NAME = "feed.xml"
COVERS = ("cover.jpg", "cover.jpeg", "cover.png")


def write_feed(
    folder: Path, url: str, title: str | None = None, author: str | None = None, language: str = "en"
) -> tuple[Path, int]:
    """Write feed.xml into a folder, one episode for each sound file in the order of names. Returns it and their number.

    url: address at which the folder will be served; players need it. Episodes have the titles in the files. Their dates
    are an hour apart, so that players keep their order. Raises ValueError for another address, and without sound files.
    """
    if not re.match(r"https?://", url):
        raise ValueError(f"--url is {url!r}; it must be the address of the folder, such as https://example.org/emma/")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files = [path for path in sorted(folder.iterdir()) if path.suffix[1:].lower() in TYPES and path.name[0] != "."]
    if not files:
        raise ValueError(f"{folder} has no sound files; known are {', '.join(TYPES)}")
    base = url.rstrip("/") + "/"
    about = [_about(path) for path in files]
    title = title or next((found["album"] for found in about if found["album"]), "") or folder.resolve().name
    author = author or next((found["artist"] for found in about if found["artist"]), "")
    first = min(path.stat().st_mtime for path in files)
    items = "".join(
        _item(path, found, base, first + 3600 * number, number + 1)
        for number, (path, found) in enumerate(zip(files, about, strict=True))
    )
    cover = next((name for name in COVERS if (folder / name).exists()), None)
    image = f"<itunes:image href={quoteattr(base + cover)}/>" if cover else ""
    writer = f"<itunes:author>{escape(author)}</itunes:author>" if author else ""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" '
        'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
        f"<title>{escape(title)}</title><link>{escape(base)}</link><description>{escape(title)}</description>"
        f'<language>{escape(language)}</language><atom:link href={quoteattr(base + NAME)} rel="self" '
        'type="application/rss+xml"/>'
        f"<itunes:type>serial</itunes:type><itunes:explicit>false</itunes:explicit>{writer}{image}\n"
    )
    target = folder / NAME
    atomic_write(target, f"{head}{items}</channel></rss>\n".encode())
    return target, len(files)


def _item(path: Path, about: dict[str, str], base: str, time: float, number: int) -> str:
    address = base + quote(path.name)
    length = f"<itunes:duration>{about['seconds']}</itunes:duration>" if about["seconds"] else ""
    return (
        f"<item><title>{escape(about['title'] or path.stem)}</title>"
        f"<enclosure url={quoteattr(address)} length={quoteattr(str(path.stat().st_size))} "
        f"type={quoteattr(TYPES[path.suffix[1:].lower()])}/><guid>{escape(address)}</guid>"
        f"<pubDate>{email.utils.formatdate(time)}</pubDate><itunes:episode>{number}</itunes:episode>{length}</item>\n"
    )


def _about(path: Path) -> dict[str, str]:
    """Return title, album, artist and seconds of a sound file, as far as libsndfile or PyAV finds them."""
    found = {"title": "", "album": "", "artist": "", "seconds": ""}
    try:
        if path.suffix[1:].lower() in ("m4a", "m4b"):
            import av

            with av.open(str(path)) as container:
                found |= {key: str(container.metadata.get(key, "")) for key in ("title", "album", "artist")}
                found["seconds"] = str(round((container.duration or 0) / av.time_base))
        else:
            with soundfile.SoundFile(path) as file:
                found |= {key: getattr(file, key) or "" for key in ("title", "album", "artist")}
                found["seconds"] = str(round(file.frames / file.samplerate))
    except (ImportError, OSError, ValueError, soundfile.SoundFileError):
        pass  # an episode needs none of these
    return found
