"""``talksy voice``: speaks to a server and is spoken to, over the public contract."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import socketio

from talksy.audio import IN_RATE, milliseconds, size_of
from talksy.cli.chat import Problem, ended, log_in, notice, out, plain, show
from talksy.cli.dialogue import CONNECT_SECONDS, Payload, Refused
from talksy.cli.sound import (
    FRAME_MS,
    Devices,
    Loudspeaker,
    NoSound,
    Recorder,
    devices,
    microphone,
    read_wav,
    write_wav,
)

SILENCE_MS = 1_500
"""So much follows a file: the last word is known for the last by what does not come behind it."""
AHEAD_MS = 20_000
"""How far a file may be ahead of the clock that is sent as fast as may be; servers take 30 s."""
RATES = range(8_000, 48_001)
"""Those that a server takes."""
REPORT_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""After so long without a word nothing more is waited for."""


def voice(
    url: str,
    *,
    email: str | None,
    token: str | None,
    wav: Path | None,
    record: Path | None,
    fast: bool,
    start: Mapping[str, Any],
) -> None:
    """Says what is in ``wav``, or what the microphone hears until Ctrl-C, and shows what is
    understood and answered; ``record`` gets the sound of the answers. ``start`` is what
    ``voice_start`` is sent, but for the rate.
    """
    url = url.rstrip("/")
    try:
        said = None if wav is None else _sendable(*read_wav(wav))
        found = devices() if wav is None else None
        grant = {"accessToken": token} if token else log_in(url, email)
        asyncio.run(_talk(url, grant["accessToken"], said, found, record, fast, start))
    except (Problem, Refused, NoSound) as error:
        sys.exit(f"talksy: {error}")
    except (aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"talksy: cannot reach {url}: {str(error) or 'it does not answer'}")
    except (EOFError, KeyboardInterrupt):
        out.print()


def _sendable(pcm: bytes, rate: int) -> tuple[bytes, int]:
    """The same at a rate that a server takes."""
    from talksy.voice.resample import Resampler

    return (pcm, rate) if rate in RATES else (Resampler(rate).feed(pcm), IN_RATE)


async def _talk(
    url: str,
    token: str,
    said: tuple[bytes, int] | None,
    found: Devices | None,
    record: Path | None,
    fast: bool,
    start: Mapping[str, Any],
) -> None:
    async with AsyncExitStack() as stack:
        player = Recorder()
        if found is not None:
            player = loudspeaker = Loudspeaker(found)
            stack.callback(loudspeaker.close)
        line = Line(player)
        stack.push_async_callback(line.close)
        await line.open(url, token)
        rate = IN_RATE if said is None else said[1]
        await line.call("voice_start", {**start, "sampleRate": rate})
        if said is not None:
            await _send(line, *said, ahead_ms=AHEAD_MS if fast else 0)
        elif found is not None:
            await _listen(line, found)
        await line.settled()
        await line.call("voice_stop", {})
        if start["mode"] == "dictate":
            await line.answered()
    if record is not None:
        write_wav(record, bytes(player.pcm))


async def _send(line: "Line", pcm: bytes, rate: int, ahead_ms: int) -> None:
    """Says what is in a file, as it was said."""
    pcm += bytes(size_of(SILENCE_MS, rate))
    size, began_at = size_of(FRAME_MS, rate), monotonic()
    last = (len(pcm) - 1) // size * size
    for at in range(0, last, size):
        due = began_at + (milliseconds(at, rate) - ahead_ms) / 1000
        await asyncio.sleep(max(0.0, due - monotonic()))
        await line.emit("audio", pcm[at : at + size])
    # Its answer says that all of it was heard.
    await line.call("audio", pcm[last:])


async def _listen(line: "Line", found: Devices) -> None:
    """Says what the microphone hears, until Ctrl-C."""
    loop, enough = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, enough.set)
    notice("speak; Ctrl-C ends it, and headphones keep the answers out of the microphone")

    async def pass_on() -> None:
        async with microphone(found) as heard:
            while True:
                await line.emit("audio", await heard.get())

    tasks = [asyncio.create_task(pass_on()), asyncio.create_task(enough.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class Line:
    """A session over Socket.IO that is spoken in."""

    def __init__(self, player: Recorder) -> None:
        self._player = player
        self._sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self._news = asyncio.Condition()
        self._ready = False
        self._lost: str | None = None
        self._said = 0
        """What was said and is not understood yet."""
        self._answers: set[str] = set()
        self._shown: str | None = None
        """The turn whose text is being shown."""
        self._dictated = False
        """Something was understood that is not answered before the end."""
        self._began = False
        """An answer has begun."""
        self._failed = False
        """Something went wrong."""
        self._reporting: asyncio.Task[None] | None = None

    async def open(self, url: str, token: str) -> None:
        """Connects. Raises ``Refused``."""
        refusals: list[Any] = []
        self._sio.on("connect_error", refusals.append)
        self._sio.on("disconnect", self._part)
        self._sio.on("*", self._hear)
        auth = {"token": token}
        try:
            await self._sio.connect(
                url, auth=auth, transports=["websocket"], wait_timeout=CONNECT_SECONDS
            )
        except socketio.exceptions.ConnectionError as error:
            told = refusals[-1].get("data") if refusals and isinstance(refusals[-1], dict) else None
            why = told["message"] if isinstance(told, dict) else f"cannot reach {url}: {error}"
            raise Refused(why) from None
        await self._until(lambda: self._ready)

    async def close(self) -> None:
        """Hangs up."""
        if self._reporting is not None:
            self._reporting.cancel()
        await self._sio.disconnect()
        if self._sio.eio.http is not None:
            await self._sio.eio.http.close()

    async def emit(self, event: str, payload: Any) -> None:
        """Sends an event that needs no answer. Raises ``Refused`` where the line is cut."""
        if self._lost is not None:
            raise Refused(self._lost)
        await self._sio.emit(event, payload)

    async def call(self, event: str, payload: Any) -> Payload:
        """Sends an event and returns its acknowledgement. Raises ``Refused``."""
        acks: list[Payload] = []

        async def acknowledged(ack: Payload) -> None:
            acks.append(ack)
            await self._tell()

        if self._lost is not None:
            raise Refused(self._lost)
        await self._sio.emit(event, payload, callback=acknowledged)
        await self._until(lambda: bool(acks))
        if not acks[0]["ok"]:
            raise Refused(acks[0]["error"]["message"])
        return acks[0]

    async def settled(self) -> None:
        """Returns when all that was said is understood, answered and spoken."""
        await self._until(lambda: not self._said and not self._answers)

    async def answered(self) -> None:
        """Returns when what was dictated, if anything was, is being answered, or will not be."""
        await self._until(lambda: not self._dictated or self._began or self._failed)
        await self.settled()

    async def _until(self, condition: Callable[[], object]) -> None:
        """Returns once it holds. Raises ``Refused`` where the line is cut or nothing comes."""
        async with self._news:
            while not condition():
                if self._lost is not None:
                    raise Refused(self._lost)
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    raise Refused("the server says nothing any more") from None

    # ---- what comes in

    async def _part(self, *_: object) -> None:
        self._lost = self._lost or "the connection is lost"
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _hear(self, name: str, data: Any) -> None:
        match name:
            case "SESSION_CREATED" | "SESSION_RESTORED":
                self._ready = True
            case "wake_word":
                notice(f"{data['wakeWord']}!")
            case "speech_started":
                self._said += 1
            case "final_transcript":
                self._understood(data)
            case "stream_start" | "stream_chunk" | "stream_reset" | "stream_end":
                self._read(name, data)
            case "audio_start" | "audio_chunk" | "audio_clear" | "audio_end":
                self._sound(name, data)
            case "tool_call":
                notice(f"it asks for {data['toolName']}")
            case "error":
                self._said = max(0, self._said - 1)
                self._failed = True
                notice(data["message"])
            case "server_draining":
                self._lost = "the server is about to stop"
        await self._tell()

    def _understood(self, data: Payload) -> None:
        self._said = max(0, self._said - 1)
        if "turnId" in data:
            self._answers.add(data["turnId"])
        elif data["text"]:
            self._dictated = True
        if data["text"]:
            out.print(f"you: {plain(data['text'])}", markup=False)

    def _read(self, name: str, data: Payload) -> None:
        turn_id = data["turnId"]
        match name:
            case "stream_start":
                self._began = True
                self._answers.add(turn_id)
            case "stream_chunk":
                if self._shown != turn_id:
                    show("talksy: ")
                self._shown = turn_id
                show(data["content"])
            case "stream_reset":
                show("\n")
                self._shown = None
            case "stream_end":
                self._shown = None
                self._answers.discard(turn_id)
                ended(data)
                if "mouthToEarMs" in data.get("metrics", {}):
                    notice(f"heard {data['metrics']['mouthToEarMs']} ms after the last word")

    # ---- what is heard

    def _sound(self, name: str, data: Payload) -> None:
        match name:
            case "audio_start":
                self._player.start()
                self._report(data["turnId"])
            case "audio_chunk":
                self._player.play(data["audio"])
            case "audio_clear":
                self._player.clear()
                self._report(None)
            case "audio_end":
                self._report(None)

    def _report(self, turn_id: str | None) -> None:
        """Tells each second what was played of a turn; of none any more where that is None."""
        if self._reporting is not None:
            self._reporting.cancel()
        work = None if turn_id is None else self._reports(turn_id)
        self._reporting = None if work is None else asyncio.create_task(work)

    async def _reports(self, turn_id: str) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            await self._sio.emit("played", {"turnId": turn_id, "ms": self._player.played_ms})
