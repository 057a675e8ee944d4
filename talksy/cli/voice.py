"""``talksy voice``: speaks to a server and is spoken to, over the public contract."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from talksy.audio import IN_RATE, milliseconds, size_of
from talksy.cli.chat import Problem, log_in, notice, out, renewing
from talksy.cli.line import Line
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
from talksy.cli.wire import Refused

SILENCE_MS = 1_500
"""So much follows a file: the last word is known for the last by what does not come behind it."""
AHEAD_MS = 20_000
"""How far a file may be ahead of the clock that is sent as fast as may be; servers take 30 s."""
RATES = range(8_000, 48_001)
"""Those that a server takes."""


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
        asyncio.run(_talk(url, grant, said, found, record, fast, start))
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
    grant: dict[str, Any],
    said: tuple[bytes, int] | None,
    found: Devices | None,
    record: Path | None,
    fast: bool,
    start: Mapping[str, Any],
) -> None:
    rate = IN_RATE if said is None else said[1]
    async with AsyncExitStack() as stack:
        player = Recorder()
        if found is not None:
            player = loudspeaker = Loudspeaker(found)
            stack.callback(loudspeaker.close)
        asked = {**start, "sampleRate": rate}
        line = Line(url, grant["accessToken"], player, asked, renew=renewing(url, grant))
        stack.push_async_callback(line.close)
        await _first(line.keep(), _speak(line, said, found, fast, start["mode"]))
    if record is not None:
        write_wav(record, bytes(player.pcm))


async def _speak(
    line: Line,
    said: tuple[bytes, int] | None,
    found: Devices | None,
    fast: bool,
    mode: str,
) -> None:
    """Says all there is to say; returns when it was answered."""
    await line.listening()
    if said is not None:
        await _send(line, *said, ahead_ms=AHEAD_MS if fast else 0)
    elif found is not None:
        await _listen(line, found)
    await line.settled()
    await line.call("voice_stop", {})
    if mode == "dictate":
        await line.answered()


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Returns, or raises, when one of them does; the others are ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _send(line: Line, pcm: bytes, rate: int, ahead_ms: int) -> None:
    """Says what is in a file, as it was said."""
    pcm += bytes(size_of(SILENCE_MS, rate))
    size, began_at = size_of(FRAME_MS, rate), monotonic()
    last = (len(pcm) - 1) // size * size
    for at in range(0, last, size):
        due = began_at + (milliseconds(at, rate) - ahead_ms) / 1000
        await asyncio.sleep(max(0.0, due - monotonic()))
        await line.say(pcm[at : at + size])
    # Its answer says that all of it was heard.
    await line.call("audio", pcm[last:])


async def _listen(line: Line, found: Devices) -> None:
    """Says what the microphone hears, until Ctrl-C."""
    loop, enough = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, enough.set)
    notice("speak; Ctrl-C ends it, and headphones keep the answers out of the microphone")

    async def pass_on() -> None:
        async with microphone(found) as heard:
            while True:
                await line.live(await heard.get())

    async def end() -> None:
        await enough.wait()

    try:
        await _first(pass_on(), end())
    finally:
        loop.remove_signal_handler(signal.SIGINT)
