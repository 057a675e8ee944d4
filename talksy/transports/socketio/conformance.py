"""An app for the Socket.IO project's own test suites, on our transport and without auth.

python -m talksy.transports.socketio.conformance PORT [--asyncio]

As the suites for Engine.IO v4 and Socket.IO v5 ask it: Engine.IO at ``/engine.io/`` echoes every
message; Socket.IO has the namespaces ``/`` and ``/custom``. Listens on localhost alone; runs on
uvloop where there is one, unless it is told not to.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from ssl import SSLContext
from typing import Any

from aiohttp import web

from talksy.transports.http import Runner
from talksy.transports.socketio import json
from talksy.transports.socketio.direct import Server
from talksy.transports.socketio.engine import Engine
from talksy.transports.socketio.packets import Strict

LIMITS: dict[str, Any] = {
    "ping_interval": 0.3,
    "ping_timeout": 0.2,
    "max_http_buffer_size": 1_000_000,
    "cors_allowed_origins": "*",
}


def application() -> web.Application:
    """Both servers in one app."""
    app = web.Application(client_max_size=LIMITS["max_http_buffer_size"])
    _engine().attach(app)
    _server().attach(app)
    return app


def _engine() -> Engine:
    engine = Engine(**LIMITS)

    async def echo(sid: str, data: Any) -> None:
        await engine.send(sid, data)

    engine.on("message", echo)
    return engine


def _server() -> Server:
    server = Server(
        connect_timeout=1.0,
        always_connect=True,  # the suites want CONNECT before what the connect handler emits
        json=json,
        serializer=Strict,
        **LIMITS,
    )

    async def enter(sid: str, _environ: Any, auth: Any, *, namespace: str) -> None:
        await server.emit("auth", {} if auth is None else auth, to=sid, namespace=namespace)

    async def message(sid: str, *data: Any, namespace: str) -> None:
        await server.emit("message-back", data, to=sid, namespace=namespace)

    for namespace in ("/", "/custom"):
        server.on("connect", _at(enter, namespace), namespace=namespace)
        server.on("message", _at(message, namespace), namespace=namespace)
        server.on("message-with-ack", _answered, namespace=namespace)
    return server


def _at(handler: Any, namespace: str) -> Any:
    async def there(*arguments: Any) -> None:
        await handler(*arguments, namespace=namespace)

    return there


async def _answered(_sid: str, *data: Any) -> tuple[Any, ...]:
    return data


def run(
    app: web.Application, arguments: Sequence[str] | None = None, tls: SSLContext | None = None
) -> None:
    """Serves an app as the command line says, or ``arguments``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--asyncio", action="store_true", help="not on uvloop")
    options = parser.parse_args(arguments)
    loop = _loop(plain=options.asyncio)
    try:
        loop.run_until_complete(_served(app, options.port, tls))
    finally:
        loop.close()


async def _served(app: web.Application, port: int, tls: SSLContext | None) -> None:
    """Serves until it is told to stop, as a node does."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = Runner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", port, ssl_context=tls)
        await site.start()
        scheme = "https" if tls else "http"
        sys.stdout.write(f"Running on {scheme}://localhost:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _loop(*, plain: bool) -> asyncio.AbstractEventLoop:
    if plain or not find_spec("uvloop"):
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


if __name__ == "__main__":
    run(application())
