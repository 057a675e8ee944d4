"""``talksy serve``: runs a node until it is told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from talksy import __version__
from talksy.app import open_node
from talksy.cli.tls import Certificate
from talksy.config import Settings, unknown_names
from talksy.transports.http import Runner

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
    if settings.otel_exporter_otlp_endpoint:
        # The SDK reads the environment itself, to which .env does not belong.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otel_exporter_otlp_endpoint)
    certificate = (
        Certificate(settings.tls_cert, settings.tls_key)
        if settings.tls_cert and settings.tls_key
        else None
    )
    for name, near in unknown_names().items():
        log.warning("unknown_setting", name=name, hint=f"did you mean {near}?" if near else None)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)
    async with open_node(settings) as node, _watched(certificate):
        runner = Runner(node.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            context = certificate.context if certificate else None
            site = web.TCPSite(runner, settings.host, settings.port, ssl_context=context)
            await site.start()
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 50, 100)
            url = _url(settings, runner)
            log.info(
                "listening",
                version=__version__,
                url=url,
                docs=f"{url}/docs",
                environment=settings.talksy_env,
                provider=",".join(settings.providers),
                database=settings.database_url.partition(":")[0],
                guests=settings.guests_enabled,
                metrics="token" if settings.metrics_token else "this machine",
            )
            await stop.wait()
            log.info("draining")
            await node.drain(settings.shutdown_timeout_ms / 1000)
        finally:
            await runner.cleanup()
    log.info("stopped")


@contextlib.asynccontextmanager
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


def _url(settings: Settings, runner: web.AppRunner) -> str:
    """Where the server listens; the port is the real one where 0 was asked for."""
    address = runner.addresses[0]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{host}:{address[1]}"
