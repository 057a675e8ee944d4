"""``talksy serve``: runs a node until it is told to stop."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from talksy.app import open_node
from talksy.cli.listening import tell_listening
from talksy.cli.tls import Certificate
from talksy.cli.worker import BACKLOG, LAST_SECONDS, Seat
from talksy.cli.workers import READY
from talksy.config import Settings
from talksy.transports.http import Runner

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (10_000, 250, 100)
"""Allocations between two looks for garbage in cycles among the youngest, such looks between two
among the older, and so on: nearly nothing of ours is in any. A look at 50,000 young ones held up
everybody for 4 ms, at 10,000 for 0.6; the older ones are looked at as rarely with either."""


def serve(settings: Settings, seat: Seat | None = None) -> None:
    """Blocks until SIGTERM or SIGINT and what runs has ended. A second signal ends at once.

    With ``seat`` it is one of several workers.
    """
    if sys.platform == "win32":
        asyncio.run(_serve(settings, seat))
        return
    import uvloop

    uvloop.run(_serve(settings, seat))


async def _serve(settings: Settings, seat: Seat | None) -> None:
    if settings.otel_exporter_otlp_endpoint:
        # The SDK reads the environment itself, to which .env does not belong.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otel_exporter_otlp_endpoint)
    certificate = (
        Certificate(settings.tls_cert, settings.tls_key)
        if settings.tls_cert and settings.tls_key
        else None
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        parent = await enter(seat.parent(stop)) if seat else None
        handover = seat.handover(settings.max_packet_bytes) if seat else None
        if handover:
            await enter(handover.open())
        node = await enter(open_node(settings, handover))
        await enter(_watched(certificate))
        runner = Runner(node.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        context = certificate.context if certificate else None
        sites: Sequence[web.BaseSite] = (
            seat.sites(runner, context)
            if seat
            else [
                web.TCPSite(
                    runner, settings.host, settings.port, ssl_context=context, backlog=BACKLOG
                )
            ]
        )
        for site in sites:
            await site.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if parent:
            parent.say(READY)
        else:
            tell_listening(settings, runner.addresses[0][1])
        await stop.wait()
        log.info("draining")
        seconds = settings.shutdown_timeout_ms / 1000
        await node.drain(seconds)
        if parent:
            await parent.dismisses(seconds + LAST_SECONDS)
    log.info("stopped")


@asynccontextmanager
async def _watched(certificate: Certificate | None) -> AsyncIterator[None]:
    """Picks up a renewed certificate, within a minute or at SIGHUP."""
    if certificate is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, certificate.renewed.set)
    task = asyncio.create_task(certificate.watch(), name="certificate")
    task.add_done_callback(_unwatched)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _unwatched(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("certificate_not_watched", exc_info=error)


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        log.warning("stopped_at_once")
        sys.stdout.flush()
        os._exit(1)
    stop.set()
