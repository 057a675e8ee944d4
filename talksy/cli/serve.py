"""``talksy serve``: runs a node until it is told to stop."""

import asyncio
import gc
import os
import signal
import sys

import structlog
from aiohttp import web

from talksy import __version__
from talksy.app import open_node
from talksy.config import Settings

log = structlog.get_logger(__name__)

GC_THRESHOLD = 50_000
"""Allocations between two looks for garbage in cycles: nearly all of ours is not in any."""


def serve(settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT and what runs has ended. A second signal ends at once."""
    if sys.platform == "win32":
        asyncio.run(_serve(settings))
        return
    import uvloop

    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    async with open_node(settings) as node:
        runner = web.AppRunner(node.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port)
            await site.start()
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 50, 100)
            log.info(
                "listening",
                version=__version__,
                url=_url(settings, runner),
                provider=settings.provider,
                environment=settings.talksy_env,
            )
            await stop.wait()
            log.info("draining")
            await node.drain(settings.shutdown_timeout_ms / 1000)
        finally:
            await runner.cleanup()
    log.info("stopped")


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        log.warning("stopped_at_once")
        sys.stdout.flush()
        os._exit(1)
    stop.set()


def _url(settings: Settings, runner: web.AppRunner) -> str:
    """Where the server listens; the port is the real one where 0 was asked for."""
    address = runner.addresses[0]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{address[1]}"
