"""A node, from its settings to the server that is ready to listen: the recipe."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from talksy import __version__
from talksy.app.opening import swept
from talksy.app.parts import Parts, opened_parts
from talksy.app.plans import caps, life, limits, rules, shown
from talksy.config import Settings
from talksy.database.history import History
from talksy.database.sessions import SessionRows
from talksy.gateway import Gateway, News
from talksy.health import NodeHealth
from talksy.readings import add_readings
from talksy.sessions import Sessions
from talksy.transports.contracts import setup_contracts
from talksy.transports.handover import Handover
from talksy.transports.rest import setup_rest
from talksy.transports.socketio import (
    DirectRooms,
    LibraryRooms,
    LibraryServer,
    Server,
    open_server,
)


@dataclass(frozen=True, slots=True)
class Node:
    """A server that is ready to listen."""

    app: web.Application
    gateway: Gateway
    sockets: Server | LibraryServer

    async def drain(self, seconds: float) -> None:
        """Lets running turns end, then hangs up: what comes before the web server stops."""
        await self.gateway.drain(seconds)
        await self.sockets.close()


@asynccontextmanager
async def open_node(settings: Settings, handover: Handover | None = None) -> AsyncIterator[Node]:
    """Everything a server needs, closed in reverse. Raises what ``opened_database`` and the models
    do, and ``ValueError``. ``handover`` is for one of several workers: the way to the others.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        parts = await enter(opened_parts(settings))
        gateway = _door(parts)
        await enter(swept(parts.auth))
        await enter(gateway.open())
        app = web.Application()
        _add_rest(app, parts, gateway, handover)
        rooms = _rooms(parts)
        sockets = _sockets(parts, gateway, handover, rooms)
        if rooms is not None:
            await enter(rooms.open())
        sockets.attach(app)
        _count(parts, gateway, sockets)
        await enter(parts.metrics.watching())
        yield Node(app, gateway, sockets)


def _door(parts: Parts) -> Gateway:
    """The one door, for every transport."""
    settings = parts.settings
    rows = SessionRows(parts.database, node=parts.name)
    return Gateway(
        auth=parts.auth,
        sessions=Sessions(rows, life(settings), parts.clock, others=settings.shares_database),
        limiter=parts.limiter,
        lane=parts.lane,
        history=History(parts.database),
        journal=parts.journal,
        workshop=parts.workshop,
        model=parts.models.usual,
        others=parts.models.others,
        engines=parts.engines,
        profiles=parts.profiles,
        slots=parts.slots,
        clock=parts.clock,
        rules=rules(settings),
        caps=caps(settings),
        metrics=parts.metrics,
        news=News(parts.bus, node=parts.name),
    )


def _add_rest(
    app: web.Application, parts: Parts, gateway: Gateway, handover: Handover | None
) -> None:
    """The REST routes, the contracts among them."""
    settings = parts.settings
    health = NodeHealth(
        gateway=gateway,
        database=parts.database,
        journal=parts.journal,
        limiter=parts.limiter,
        models=parts.models.choices,
        hearers=parts.engines.hearers,
        speakers=parts.engines.speakers,
        state=parts.state,
    )
    setup_rest(
        app,
        auth=parts.auth,
        limiter=parts.limiter,
        profiles=parts.profiles,
        health=health,
        clock=parts.clock,
        origins=settings.cors_origin,
        trusted_proxies=settings.trusted_proxies,
        max_body=settings.max_body_bytes,
        version=__version__,
        register_per_minute=settings.auth_register_per_minute,
        login_per_minute=settings.auth_login_per_minute,
        login_failures=settings.auth_login_failures,
        reads_per_minute=settings.rate_limit_reads_per_minute,
        metrics=parts.metrics,
        handover=handover,
        metrics_token=shown(settings.metrics_token) or None,
        tls=settings.tls_cert is not None,
    )
    setup_contracts(app, version=__version__)


def _rooms(parts: Parts) -> DirectRooms | LibraryRooms | None:
    """By way of them other programs reach clients; None without Redis."""
    if parts.state is None:
        return None
    kind = DirectRooms if parts.settings.socketio_transport == "own" else LibraryRooms
    return kind(parts.state.outside)


def _sockets(
    parts: Parts,
    gateway: Gateway,
    handover: Handover | None,
    rooms: DirectRooms | LibraryRooms | None,
) -> Server | LibraryServer:
    """The Socket.IO side."""
    settings = parts.settings
    return open_server(
        settings.socketio_transport,
        gateway,
        origins=settings.cors_origin,
        trusted_proxies=settings.trusted_proxies,
        limits=limits(settings),
        metrics=parts.metrics,
        name=handover.name(settings.node_name) if handover else settings.node_name,
        handover=handover,
        rooms=rooms,
    )


def _count(parts: Parts, gateway: Gateway, sockets: Server | LibraryServer) -> None:
    """What ``/metrics`` shows from the start."""
    metrics = parts.metrics
    for choice in parts.models.choices:
        metrics.providers.know(choice.model.provider, choice.model.model)
    for hearer in parts.engines.hearers:
        metrics.stt.know(*hearer.names)
    for speaker in parts.engines.speakers:
        metrics.tts.know(*speaker.names)
    metrics.runs(__version__, parts.settings.database_url.partition(":")[0])
    add_readings(
        metrics,
        auth=parts.auth,
        limiter=parts.limiter,
        journal=parts.journal,
        gateway=gateway,
        sockets=sockets,
        state=parts.state,
    )
