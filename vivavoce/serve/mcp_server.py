"""`vivavoce mcp`: speech for desktop assistants, over the Model Context Protocol on standard input and output."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Audio
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from vivavoce.audio.io import encode
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import voices

if TYPE_CHECKING:
    from vivavoce.synthesis.speech import Speech

MAX_CHARACTERS = 4_096  # of one call
FORMAT = "mp3"

Play = Callable[["Speech"], None]


def create_server(tts: TTS, voice: str, play: Play | None) -> MCPServer[Any]:
    """Return the server. voice: for calls that name none. play: plays the speech; None: the audio is returned."""
    server: MCPServer[Any] = MCPServer(
        "vivavoce", instructions="Speaks text aloud, offline. list_voices lists the voices that speak accepts."
    )
    lock = threading.Lock()  # one text at a time: there is only one model and one sound device

    def generate(text: str, **options: Any) -> tuple[Speech, list[str]]:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"text has {len(text)} characters; one call accepts at most {MAX_CHARACTERS}")
        with lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            speech = tts.speak(text, **options)
            if play is not None:
                play(speech)
        return speech, [str(warning.message) for warning in caught]

    @server.tool(structured_output=False)
    async def speak(
        text: Annotated[str, Field(description="The text to speak.")],
        voice: Annotated[str, Field(description="A voice of list_voices.")] = voice,
        speed: Annotated[float, Field(description="Speaking rate, 0.25 to 4; 2 is twice as fast.")] = 1.0,
        lang: Annotated[str, Field(description="Language of the text, such as en.")] = tts.languages[0],
    ) -> list[Any]:
        """Speak a text aloud, or return its audio if this machine cannot play sound."""
        try:
            speech, notices = await anyio.to_thread.run_sync(
                lambda: generate(text, voice=voice, speed=speed, lang=lang)
            )
        except (ValueError, SynthesisError) as error:
            raise ToolError(str(error)) from None
        done = "Spoke" if play is not None else "Generated"
        summary = " ".join([f"{done} {speech.duration:.1f} s of speech in the voice {voice}.", *notices])
        if play is not None:
            return [summary]
        return [summary, Audio(data=encode(speech.samples, speech.sample_rate, FORMAT), format="mpeg")]

    @server.tool()
    def list_voices() -> list[dict[str, str]]:
        """List the voices: name, description and language."""
        return [{"name": v.name, "description": v.description, "language": v.language} for v in voices()]

    return server


def serve(tts: TTS, voice: str, play: Play | None) -> None:
    """Serve on standard input and output until the client closes them. Takes the arguments of `create_server`."""
    create_server(tts, voice, play).run("stdio")
