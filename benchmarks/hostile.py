"""Hostile inputs for attack.py, from a random generator: texts, SSML, books, shards, HTTP requests, mutated bytes."""

from __future__ import annotations

import io
import json
import random
import tarfile
import zipfile
from typing import Any

WORDS = (
    "Dr. Smith paid $3.50 at 10:30 a.m. on 3 May 2024; it's 5 km, 1/2, 3.14, XIV and http://a.b/c?d=e (50 %). "
    "¿Qué? Ça va, œuvre, naïve. «Oui» — “no” … 1,234,567 + 10^6 = ½ ﬁ ☃ \u202e \u0000 \u00ad"
).split(" ")
PIECES = (
    *WORDS, "[pause 60s]", "[voice:nash]", "[/voice]", "[spell:", "[say:a|b]", "[fr]", "]", "[", "\\[", "<break/>",
    "<speak>", "</p>", "&amp;", "&#x110000;", "\n\n", "# ", "> ", "```", "![x](", "1.", "!" * 300, "½" * 300, "٣" * 300,
    "a" * 500, "1," * 200, "-" * 400,
)  # fmt: skip
TAGS = ("speak", "p", "s", "break", "prosody", "say-as", "sub", "voice", "lang", "emphasis", "x")
ATTRIBUTES = ("time", "rate", "interpret-as", "alias", "name", "xml:lang", "strength")
VALUES = ("", "0", "-1", "60s", "1e309", "99999999999999999999", "telephone", "characters", "nash", "fr", "%", "\u202e")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with a few bits flipped, or bytes cut, repeated, replaced or inserted."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not out:
            break
        at, size = rng.randrange(len(out)), rng.choice((1, 2, 8, 64, 512))
        match rng.randrange(6):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = out[at : at + size] * rng.choice((1, 2, 50))
            case 3:
                out[at : at + size] = rng.randbytes(size)
            case 4:
                out[at:at] = rng.choice((b"\0", b"<", b"&", b"\xff\xfe", b"9" * 40, b"]]>", b"{", b'"', b"[" * 200))
            case 5:
                del out[at:]
    return bytes(out)


def text(rng: random.Random) -> str:
    """Return a text of odd words, tags and signs."""
    return rng.choice(("", " ", "\n")).join(rng.choice(PIECES) for _ in range(rng.randrange(1, 40)))


def ssml(rng: random.Random, depth: int = 0) -> str:
    """Return SSML-like text, sometimes well-formed."""
    if depth > rng.randrange(1, 9) or rng.random() < 0.1:
        return text(rng)[:200]
    tag = "speak" if depth == 0 else rng.choice(TAGS)
    attributes = "".join(f' {rng.choice(ATTRIBUTES)}="{rng.choice(VALUES)}"' for _ in range(rng.randrange(3)))
    inside = "".join(ssml(rng, depth + 1) for _ in range(rng.randrange(1, 4)))
    return f"<{tag}{attributes}>{inside}" + (f"</{tag}>" if rng.random() < 0.95 else "")


def archive(files: dict[str, str]) -> bytes:
    """Return a zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


def pdf(line: str) -> bytes:
    """Return a PDF of one page with one line."""
    content = f"BT /F1 12 Tf 50 750 Td ({line}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 5 0 R "
        "/Resources << /Font << /F1 3 0 R >> >> >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    ]
    data, table = "%PDF-1.4\n", ""
    for number, each in enumerate(objects, 1):
        table += f"{len(data):010d} 00000 n \n"
        data += f"{number} 0 obj\n{each}\nendobj\n"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF"
    return (data + head + end).encode("latin-1")


def book(kind: str) -> bytes:
    """Return a small valid book."""
    if kind == "epub":
        root = '<rootfile full-path="b.opf" media-type="application/oebps-package+xml"/>'
        space = "urn:oasis:names:tc:opendocument:xmlns:container"
        item = '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
        body = "<h1>Rain</h1><p>It rained.</p>"
        return archive(
            {
                "mimetype": "application/epub+zip",
                "META-INF/container.xml": f'<container xmlns="{space}"><rootfiles>{root}</rootfiles></container>',
                "b.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/>'
                f'<manifest>{item}</manifest><spine><itemref idref="c"/></spine></package>',
                "c.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>',
            }
        )
    if kind == "docx":
        space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        paragraph = "<w:p><w:r><w:t>It rained.</w:t></w:r></w:p>"
        body = f'<w:document xmlns:w="{space}"><w:body>{paragraph}</w:body></w:document>'
        return archive({"[Content_Types].xml": "<Types/>", "word/document.xml": body})
    if kind == "odt":
        space = "urn:oasis:names:tc:opendocument:xmlns"
        spaces = f'xmlns:office="{space}:office:1.0" xmlns:text="{space}:text:1.0"'
        body = "<office:body><office:text><text:p>It rained.</text:p></office:text></office:body>"
        content = f"<office:document-content {spaces}>{body}</office:document-content>"
        return archive({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})
    if kind == "pdf":
        return pdf("It rained, and nobody spoke for a long time.")
    return {
        "html": b"<html><head><title>T</title></head><body><h1>One</h1><p>It <b>rained</b>.<table><tr><td>a</table>",
        "md": b"# One\n\nIt *rained*.\n\n- a\n  - b\n\n> quoted\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        "srt": b"1\n00:00:00,500 --> 00:00:02,000\nIt is raining.\n\n2\n00:00:03,000 --> 00:00:04,000\nStill.\n",
        "vtt": b"WEBVTT\n\nNOTE x\n\n1\n00:00.500 --> 00:02.000 align:start\n<v Ann>It is <i>raining</i>.\n",
        "rtf": b"{\\rtf1\\ansi{\\fonttbl\\f0 Arial;}\\f0\\b One\\b0\\par It rained.\\par \\'e9t\\u233?\\par}",
        "txt": "Chapter 1\n\nIt rained.\n\nChapter 2\n\n¿Qué?\n".encode(),
    }[kind]


REPEATED = (
    "<a ",
    "<!--",
    "<p>",
    "<b><i>",
    "&lt;",
    "[",
    "> ",
    "- a\n",
    "# a\n",
    "|a",
    "*",
    "_a ",
    "<![",
    "]]>",
    "1. a\n ",
)


def large(kind: str, rng: random.Random) -> bytes:
    """Return a book of up to 100 kB with one of `REPEATED` many times."""
    text = rng.choice(REPEATED) * rng.randrange(100, 30_000)
    if kind == "epub":
        files = {name: zipfile.ZipFile(io.BytesIO(book(kind))).read(name).decode() for name in EPUB_FILES}
        return archive(files | {"c.xhtml": f"<html><body><p>It rained.</p>{text}</body></html>"})
    return b"It rained.\n\n" + text.encode()[:100_000] if kind in ("md", "html", "txt") else mutate(book(kind), rng)


EPUB_FILES = ("mimetype", "META-INF/container.xml", "b.opf")


def shard() -> bytes:
    """Return a tar shard of four samples."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(4):
            for name, data in ((f"{number}.json", b'{"text": "It rained."}'), (f"{number}.wav", b"RIFF" * 200)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def damaged(valid: bytes, rng: random.Random) -> bytes:
    """Return a mutated safetensors file. Mostly the header is mutated: the rest is numbers."""
    return mutate(valid[:2000], rng) + valid[2000:] if rng.random() < 0.7 else mutate(valid, rng)


def request(rng: random.Random) -> bytes:
    """Return an HTTP request, mostly wrong."""
    body: dict[str, Any] = {"model": "tts-1", "voice": "nash", "input": "Yes."}
    for _ in range(rng.randrange(1, 4)):
        name = rng.choice((*body, "speed", "seed", "lang", "response_format", "stream_format", "timestamps", "x"))
        body[name] = rng.choice(
            (None, -1, 1e309, "", "x" * 5000, [], {"a": []}, True, "\u202e", text(rng)[:40], "[pause")
        )
    data = json.dumps(body).encode()
    if rng.random() < 0.4:
        data = mutate(data, rng)
    path = rng.choice(("/v1/audio/speech",) * 4 + ("/v1/audio/voices", "/v1/models", "/healthz", "/%00", "/../..", "*"))
    method = rng.choice(("POST",) * 5 + ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"))
    length = rng.choice((len(data),) * 8 + (0, -1, 10**12))
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    whole = f"{head}Connection: close\r\n\r\n".encode("utf-8", "replace") + data
    return mutate(whole, rng) if rng.random() < 0.2 else whole
