"""`vivavoce wyoming`: a text-to-speech service for Home Assistant, over the Wyoming protocol.

Events: describe, synthesize, and synthesize-start, -chunk and -stop for text that is still being written. The protocol
has no authentication.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.server import AsyncEventHandler, AsyncServer
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

from vivavoce.audio.dsp import pcm
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import get, voices

MAX_CHARACTERS = 100_000  # of one text


class TextQueue:
    """Text that arrives in parts, as a blocking iterator for the thread that speaks it."""

    def __init__(self) -> None:
        self._parts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.characters = 0

    def put(self, text: str) -> None:
        """Add text. Raises ValueError if there is too much of it."""
        self.characters += len(text)
        if self.characters > MAX_CHARACTERS:
            raise ValueError(f"the text has more than {MAX_CHARACTERS} characters")
        self._parts.put(text)

    def end(self) -> None:
        """End the text."""
        self._parts.put(None)

    def __iter__(self) -> Iterator[str]:
        while (part := self._parts.get()) is not None:
            yield part


class Handler(AsyncEventHandler):
    """One connection."""

    def __init__(self, tts: TTS, voice: str, lock: threading.Lock, *streams: Any) -> None:
        super().__init__(*streams)
        self.tts, self.voice, self.lock = tts, voice, lock
        self.text: TextQueue | None = None  # of the stream in progress
        self.speaking: asyncio.Task[bool] | None = None
        self.stopped = threading.Event()

    async def handle_event(self, event: Event) -> bool:
        """Handle an event. Return False to close the connection."""
        try:
            return await self._handle(event)
        except (ValueError, KeyError, SynthesisError) as error:
            await self.write_event(Error(text=str(error), code=type(error).__name__).event())
            return False

    async def _handle(self, event: Event) -> bool:
        if Describe.is_type(event.type):
            await self.write_event(describe(self.tts).event())
        elif SynthesizeStart.is_type(event.type):
            self.text = TextQueue()
            voice = self._voice(SynthesizeStart.from_event(event).voice)
            self.speaking = asyncio.create_task(self._speak(iter(self.text), voice))
        elif SynthesizeChunk.is_type(event.type) and self.text is not None:
            self.text.put(SynthesizeChunk.from_event(event).text)
        elif SynthesizeStop.is_type(event.type) and self.text is not None and self.speaking is not None:
            self.text.end()
            await self.speaking
            self.text = None
            await self.write_event(SynthesizeStopped().event())
        elif Synthesize.is_type(event.type) and self.text is None:  # within a stream, it repeats the whole text
            asked = Synthesize.from_event(event)
            await self._speak(asked.text, self._voice(asked.voice), asked.text_format == SynthesizeTextFormat.SSML)
        return True

    def _voice(self, asked: SynthesizeVoice | None) -> str:
        """Return the name of the voice. Raises ValueError for an unknown one."""
        name = self.voice if asked is None or not asked.name else asked.name
        get(name)
        return name

    async def _speak(self, text: str | Iterator[str], voice: str, ssml: bool = False) -> bool:
        """Generate and send the speech. Return whether there was any."""
        loop = asyncio.get_running_loop()
        parts: asyncio.Queue[Any] = asyncio.Queue()

        def generate() -> None:
            try:
                with self.lock, contextlib.closing(self.tts.stream(text, voice, ssml=ssml)) as spoken:  # type: ignore[type-var]
                    for speech in spoken:
                        if self.stopped.is_set():
                            break
                        loop.call_soon_threadsafe(parts.put_nowait, speech)
                result: Any = None
            except Exception as error:
                result = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(parts.put_nowait, result)

        threading.Thread(target=generate, daemon=True).start()
        audio = {"rate": self.tts.sample_rate, "width": 2, "channels": 1}
        await self.write_event(AudioStart(**audio).event())
        while (part := await parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            await self.write_event(AudioChunk(audio=pcm(part.samples).tobytes(), **audio).event())
        await self.write_event(AudioStop().event())
        return True

    async def disconnect(self) -> None:
        """Stop the work of a client that has gone."""
        self.stopped.set()
        if self.text is not None:
            self.text.end()
        if self.speaking is not None:
            self.speaking.cancel()


def describe(tts: TTS) -> Info:
    """Return what the service offers: each voice, built-in or the user's, in the languages of the model."""
    version = metadata.version("vivavoce") if _installed() else "0"
    source = Attribution(name="vivavoce", url="")
    known = [
        TtsVoice(
            name=voice.name,
            description=f"{voice.name}: {voice.description}",
            attribution=source,
            installed=True,
            version=version,
            languages=list(tts.languages),
        )
        for voice in voices()
    ]
    program = TtsProgram(
        name="vivavoce",
        description="Text to speech that works offline",
        attribution=source,
        installed=True,
        version=version,
        voices=known,
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


def _installed() -> bool:
    try:
        metadata.version("vivavoce")
    except metadata.PackageNotFoundError:
        return False
    return True


def serve(tts: TTS, uri: str, voice: str, announced: AbstractAsyncContextManager[str] | None = None) -> None:
    """Serve at tcp://HOST:PORT or unix://PATH until Ctrl-C. Raises ValueError if the address cannot be used.

    announced: as `announce.announced`, entered once the service listens.
    """
    get(voice)
    lock = threading.Lock()  # one text at a time: there is only one model

    async def run() -> None:
        server = AsyncServer.from_uri(uri)
        print(f"listening at {uri} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        async with contextlib.AsyncExitStack() as stack:
            if announced is not None:
                name = await stack.enter_async_context(announced)
                print(f"announced on the local network as {name}", file=sys.stderr, flush=True)
            await server.run(lambda *streams: Handler(tts, voice, lock, *streams))

    try:
        asyncio.run(run())
    except OSError as error:
        raise ValueError(f"cannot listen at {uri}: {error.strerror or error}") from None
