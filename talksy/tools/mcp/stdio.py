"""A server that is a process of ours: JSON by the line on its stdin and stdout.

Beside the SDK's own transport: the process gets no environment but what is listed, its lines have a
limit, what it says on stderr goes to the log, and nothing waits for one that does not read.
"""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from talksy.messages import clean
from talksy.tools.mcp.servers import McpServer

if TYPE_CHECKING:
    from mcp.client import Transport

log = structlog.get_logger(__name__)

MESSAGE_BYTES = 4_194_304
"""The longest message a server may send: one that is longer ends the connection."""
MAX_NOISE = 1_000
"""So many lines that are no messages end it, too."""
BACKLOG_BYTES = 8_388_608
"""As much may wait for a server that does not read."""
GRACE_SECONDS = 1.0
"""How long a server may take to end by itself, and again when it is asked to."""
STDERR_LINES = 200
"""As many lines of a process are logged; of what follows only the bytes are counted."""
STDERR_CHARS = 500
LOOK_SECONDS = 0.01

Lost = Callable[[str], None]
"""Is told why a connection will bring nothing more."""


def process(server: McpServer, lost: Lost) -> "Transport":
    """Starts a server; entered, gives what it says and the way to it. It is ended for real."""
    return _process(server, lost)


@asynccontextmanager
async def _process(
    server: McpServer, lost: Lost
) -> AsyncIterator[
    tuple[
        MemoryObjectReceiveStream[SessionMessage | Exception],
        MemoryObjectSendStream[SessionMessage],
    ]
]:
    started, transport = await _started(server)
    stdin, stdout, stderr = _pipes(started)
    heard, inward = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outward, said = anyio.create_memory_object_stream[SessionMessage](0)
    talk = [
        asyncio.create_task(_hear(server, stdout, heard, lost), name=f"{server.source} stdout"),
        asyncio.create_task(_say(stdin, said, heard, lost), name=f"{server.source} stdin"),
    ]
    grumble = asyncio.create_task(_grumble(server, stderr), name=f"{server.source} stderr")
    try:
        yield inward, outward
    finally:
        # First, so that our own end of it is not told as the server's.
        for task in talk:
            task.cancel()
        for stream in (inward, outward, heard, said):
            stream.close()
        ending = asyncio.create_task(_end(started, stdin), name=f"{server.source} end")
        try:
            await asyncio.shield(ending)
            # What it said last is still on its way.
            await asyncio.wait({grumble}, timeout=LOOK_SECONDS)
        except asyncio.CancelledError:
            await ending
            raise
        finally:
            transport.close()
            grumble.cancel()
            for ended in await asyncio.gather(*talk, grumble, return_exceptions=True):
                if isinstance(ended, Exception):
                    log.error("mcp_pipe_failed", server=server.name, exc_info=ended)


async def _started(server: McpServer) -> tuple[Process, asyncio.SubprocessTransport]:
    loop = asyncio.get_running_loop()
    # A group of its own, so that what it starts can be ended with it.
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=MESSAGE_BYTES, loop=loop),
        server.command or "",
        *server.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={"PATH": os.pathsep.join(os.get_exec_path()), **server.env},
        cwd=server.cwd,
        start_new_session=True,
    )
    return Process(transport, protocol, loop), transport


def _pipes(
    started: Process,
) -> tuple[asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamReader]:
    if started.stdin is None or started.stdout is None or started.stderr is None:
        raise RuntimeError("a process was started without its pipes")
    return started.stdin, started.stdout, started.stderr


async def _hear(
    server: McpServer,
    stdout: asyncio.StreamReader,
    heard: MemoryObjectSendStream[SessionMessage | Exception],
    lost: Lost,
) -> None:
    reason, noise = "it ended", 0
    try:
        while line := await stdout.readline():
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                noise += 1
                if noise == 1:
                    log.warning("mcp_noise", server=server.name, hint="stdout is for messages")
                if noise == MAX_NOISE:
                    reason = "it does not speak the protocol"
                    break
                # Lines that lie here already are read without a pause.
                await asyncio.sleep(0)
                continue
            await heard.send(SessionMessage(message))
    except ValueError:
        reason = f"it sent a message of more than {MESSAGE_BYTES} bytes"
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
    lost(reason)
    heard.close()


async def _say(
    stdin: asyncio.StreamWriter,
    said: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[SessionMessage | Exception],
    lost: Lost,
) -> None:
    try:
        async for each in said:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            stdin.write(text.encode() + b"\n")
            # Whoever waited here could neither cancel a call nor end one.
            if stdin.transport.get_write_buffer_size() > BACKLOG_BYTES:
                lost("it does not read what it is sent")
                break
    except (OSError, RuntimeError):
        lost("it closed its stdin")
    heard.close()


async def _grumble(server: McpServer, stderr: asyncio.StreamReader) -> None:
    for _ in range(STDERR_LINES):
        with suppress(ValueError):  # A line without an end was thrown away.
            if not (line := await stderr.readline()):
                return
            shown = clean(line[: 4 * STDERR_CHARS].decode(errors="replace"))
            log.debug("mcp_stderr", server=server.name, line=shown.rstrip()[:STDERR_CHARS])
    cut = 0
    while piece := await stderr.read(65_536):
        cut += len(piece)
        await asyncio.sleep(0)
    if cut:
        log.debug("mcp_stderr_cut", server=server.name, bytes=cut)


async def _end(started: Process, stdin: asyncio.StreamWriter) -> None:
    """By closing its stdin, by asking, by force; with a grace after each."""
    stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if await _over(started):
            break
        _kill(started, number)
    # What it started may have outlived it.
    _kill(started, signal.SIGKILL)
    await _over(started)


async def _over(started: Process) -> bool:
    # wait() would also wait for pipes that a process of its own may hold for ever.
    looks = round(GRACE_SECONDS / LOOK_SECONDS)
    while started.returncode is None and looks:
        await asyncio.sleep(LOOK_SECONDS)
        looks -= 1
    return started.returncode is not None


def _kill(started: Process, number: signal.Signals) -> None:
    """Sends a signal to the server and to all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(started.pid, number)
