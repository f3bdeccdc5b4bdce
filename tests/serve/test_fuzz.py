"""Malformed requests and recordings: answers as the OpenAPI description has them, and never a fault of the server."""

from __future__ import annotations

import asyncio
import io
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.serving import Server, serving
from hypothesis import HealthCheck, settings

from vivavoce.config import BUILTIN_VOICES
from vivavoce.serve import decode
from vivavoce.serve.aliases import VoiceAliases
from vivavoce.serve.app import create_app
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.speech import Service

schemathesis = pytest.importorskip("schemathesis")
openapi = pytest.importorskip("schemathesis.specs.openapi.checks")
serialize_binary = pytest.importorskip("schemathesis.transport.serialization").serialize_binary


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("fuzz"), max_upload_mb=2.0) as started:
        yield started


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("nanospeech"), None) as started:
        yield started


def description() -> Any:
    """The OpenAPI description, which is the same whatever the server's settings."""
    unused: Any = None
    service = Service(ServeConfig(), unused, unused, VoiceAliases())
    return create_app(service, Metrics()).openapi()


@schemathesis.serializer("audio/pcm")
def pcm(context: Any, value: Any) -> bytes:
    """The samples of POST /v1/audio/encode, which are bytes already."""
    data: bytes = serialize_binary(value)
    return data


schema = schemathesis.openapi.from_dict(description())


def checked(case: Any, server: Server) -> None:
    """As described, and no 500. Names that would only be unknown are replaced, so that strange texts get spoken."""
    if case.path == "/v1/audio/speech" and isinstance(case.body, dict):
        known = {"model": "nanospeech", "voice": "nash", "lang": "en"}
        case.body |= {key: name for key, name in known.items() if isinstance(case.body.get(key), str)}
    case.call_and_validate(
        base_url=server.url,
        timeout=60,  # a book is read by a process that has to start
        checks=[
            schemathesis.checks.not_a_server_error,
            openapi.status_code_conformance,
            openapi.content_type_conformance,
            openapi.response_schema_conformance,
        ],
    )


def cases(examples: int) -> settings:
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


@schema.parametrize()
@cases(10)
def test_whatever_is_asked_the_answer_is_as_described(case: Any, server: Server) -> None:
    checked(case, server)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@schema.parametrize()
@cases(320)  # for each of the four addresses that take anything: the speech, a voice, its id, a model's name
def test_a_thousand_requests_to_the_bundled_model(case: Any, bundled: Server) -> None:
    checked(case, bundled)


# --- recordings -------------------------------------------------------------------------------------------------------

NOISE = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000).astype(np.float32)


def sound(samples: np.ndarray = NOISE, rate: int = 16_000, **how: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, **{"format": "WAV", **how})  # type: ignore[arg-type]
    return out.getvalue()


KINDS = {
    "wav": sound(),
    "flac": sound(format="FLAC"),
    "ogg": sound(format="OGG", subtype="VORBIS"),
    "opus": sound(format="OGG", subtype="OPUS"),
    "mp3": sound(format="MP3"),
    "aiff": sound(format="AIFF"),
}


def header(channels: int = 1, rate: int = 16_000, bits: int = 16, size: int = 64_000) -> bytes:
    """A WAV header that may lie."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, (rate * 2) % 2**32, 2, bits)
    return b"RIFF" + struct.pack("<I", (size + 36) % 2**32) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def flipped(data: bytes) -> bytes:
    """Some bytes of it changed, beyond the first, which tell the format."""
    rng = np.random.default_rng(1)
    changed = bytearray(data)
    for place in rng.integers(12, len(data), 40):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


WRONG = {
    "empty": b"",
    "text": b"This is no sound.\n" * 100,
    "zeros": bytes(100_000),
    "html": b"<!doctype html><script>alert(1)</script>",
    "zip": b"PK\x03\x04" + bytes(1_000),
    "no samples": sound(NOISE[:0]),
    "too short": sound(NOISE[:4_000]),
    "silent": sound(NOISE * 0),
    "NaN": sound(np.where(np.arange(len(NOISE)) == 100, np.nan, NOISE), subtype="FLOAT"),
    "4 GB by its header": header(size=0xFFFFFFF0) + bytes(1_000),
    "60,000 channels": header(channels=60_000) + bytes(100_000),
    "no channels": header(channels=0) + bytes(1_000),
    "4 billion samples a second": header(rate=0xFFFFFFFF) + bytes(100_000),
    "1 sample a second": header(rate=1) + bytes(100_000),
    "no bits": header(bits=0) + bytes(100_000),
    "3 hours of silence": sound(np.zeros(3 * 3_600 * 8_000, np.int16), 8_000, format="FLAC"),
    **{f"the start of {kind}": data[:60] for kind, data in KINDS.items()},
}
PERHAPS = {
    **{f"half of {kind}": data[: len(data) // 2] for kind, data in KINDS.items()},
    **{f"broken {kind}": flipped(data) for kind, data in KINDS.items()},
}


def sent(server: Server, data: bytes) -> Any:
    with server.client() as client:
        files = {"audio": ("me.wav", data, "audio/wav")}
        return client.post("/v1/audio/voices", data={"name": "me", "consent": "true"}, files=files)


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_recording_of_a_voice_is_refused(server: Server, what: str) -> None:
    answer = sent(server, WRONG[what])
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "unusable_recording" and error["param"] == "audio"
    assert "/" not in error["message"]  # no path, of us or of anybody
    with server.client() as client:
        assert len(client.get("/v1/audio/voices").json()["data"]) == len(BUILTIN_VOICES)


@pytest.mark.parametrize("what", PERHAPS)
def test_what_can_be_read_in_part_is_taken_or_refused(server: Server, what: str) -> None:
    answer = sent(server, PERHAPS[what])
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        with server.client() as client:
            assert client.delete(f"/v1/audio/voices/{answer.json()['id']}").status_code == 200


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems may not hold to the limit of memory")
@pytest.mark.parametrize(("limit", "value"), [("MEMORY", 1 << 20), ("SECONDS", 0.001)])
def test_a_decoder_that_takes_too_much_is_stopped(monkeypatch: pytest.MonkeyPatch, limit: str, value: float) -> None:
    monkeypatch.setattr(decode, limit, value)
    with pytest.raises(ValueError, match="memory and time limits|longer than"):
        asyncio.run(decode.decode_recording(KINDS["wav"], None))


def test_of_a_long_recording_only_the_start_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _, notices = asyncio.run(decode.decode_recording(sound(np.tile(NOISE, 100)[: 70 * 16_000]), None))
    assert 12 * 24_000 <= len(samples) <= 15 * 24_000
    assert "only the first" in notices[0]
