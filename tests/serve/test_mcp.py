"""The server for assistants, through the client of the official SDK."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import soundfile
from helpers.own_voices import add_own_voices
from helpers.serving import Spoken
from helpers.tones import SECONDS_PER_CHARACTER

from vivavoce.config import BUILTIN_VOICES
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.tts import TTS

mcp = pytest.importorskip("mcp")

from vivavoce.serve.mcp_server import create_server  # noqa: E402

TEXT = "Good morning."


def call(tool: str, arguments: dict[str, Any], played: list[Speech] | None = None) -> Any:
    async def run() -> Any:
        server = create_server(TTS(Spoken()), "celeste", None if played is None else played.append)
        async with mcp.Client(server) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(run())


def test_voices_are_listed() -> None:
    result = call("list_voices", {})
    listed = result.structured_content["result"]
    assert [voice["name"] for voice in listed] == list(BUILTIN_VOICES)


def test_the_users_voices_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_own_voices(tmp_path / "own", monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a damaged one
        listed = call("list_voices", {}).structured_content["result"]
    assert listed[-1] == {"name": "My own", "description": "mine", "language": "es"} and len(listed) == 6


def test_speech_is_returned_where_it_cannot_be_played() -> None:
    result = call("speak", {"text": TEXT, "voice": "nash"})
    summary, audio = result.content
    assert not result.is_error and "in the voice nash" in summary.text
    assert audio.mime_type == "audio/mpeg"
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(audio.data)))
    assert len(samples) / 24_000 == pytest.approx(len(TEXT) * SECONDS_PER_CHARACTER, abs=0.2)


def test_speech_is_played() -> None:
    played: list[Speech] = []
    result = call("speak", {"text": TEXT, "speed": 2}, played)
    assert result.content[0].text.startswith("Spoke ") and len(result.content) == 1
    assert played[0].duration == pytest.approx(len(TEXT) * SECONDS_PER_CHARACTER / 2, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"text": TEXT, "voice": "alice"}, "unknown voice 'alice'"),
        ({"text": "?!"}, "nothing in it"),
        ({"text": TEXT, "speed": 9}, "speed is 9"),
        ({"text": "a" * 5_000}, "at most 4096"),
        ({"text": "It is mute."}, "silence"),
    ],
)
def test_an_error_says_what_is_wrong(arguments: dict[str, Any], told: str) -> None:
    result = call("speak", arguments)
    assert result.is_error and told in result.content[0].text


@pytest.mark.slow
def test_the_command_speaks_over_standard_input_and_output(root: Path) -> None:
    async def run() -> Any:
        parameters = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "vivavoce", "mcp", "--no-play"], cwd=root, env=dict(os.environ)
        )
        async with mcp.Client(parameters) as client:
            return await client.call_tool("speak", {"text": TEXT})

    assert not asyncio.run(run()).is_error
