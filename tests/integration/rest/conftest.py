"""A REST server on a free port, over a SQLite file."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from talksy.auth import AccessTokens, Auth, KnownLogins, Passwords, TokenCache, UserCache
from talksy.database import Database
from talksy.database.accounts import Accounts
from talksy.database.logins import Logins
from talksy.database.profiles import Profiles
from talksy.ratelimit import Limiter
from talksy.state import MemoryWindows
from talksy.transports.rest import setup_rest
from talksy.transports.rest.health import State
from tests.unit.auth.clock import Clock

SECRET = "s" * 32
ADA = {"email": "Ada@example.com", "password": "Secret123"}


@dataclass
class Standing:
    """A server's health, set by hand."""

    alive: bool = True
    readiness: State = "ok"
    components: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"memory": {"state": "ok"}}
    )

    def live(self) -> bool:
        return self.alive

    async def ready(self) -> State:
        return self.readiness

    def connections(self) -> int:
        return 3

    async def detailed(self) -> dict[str, dict[str, Any]]:
        return self.components


@dataclass
class Rig:
    client: Any
    auth: Auth
    database: Database
    clock: Clock
    health: Standing
    revoked: list[str] = field(default_factory=list)

    async def post(self, path: str, json: Any = None, **options: Any) -> ClientResponse:
        answer: ClientResponse = await self.client.post(path, json=json, **options)
        await answer.read()
        return answer

    async def register(self, **changes: str) -> dict[str, Any]:
        answer = await self.post("/auth/register", ADA | changes)
        assert answer.status == 201
        body: dict[str, Any] = await answer.json()
        return body

    async def refresh(self, token: str) -> ClientResponse:
        return await self.post("/auth/refresh", {"refreshToken": token})

    async def me(self, token: str) -> ClientResponse:
        answer: ClientResponse = await self.client.get(
            "/auth/me", headers={"Authorization": f"Bearer {token}"}
        )
        await answer.read()
        return answer


async def crash(_: web.Request) -> web.Response:
    raise RuntimeError("the secret of the house")


async def unsupported(_: web.Request) -> web.Response:
    raise web.HTTPUnsupportedMediaType


async def large(_: web.Request) -> web.Response:
    raise web.HTTPRequestEntityTooLarge(1, 2)


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("/health")


async def socket(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade"):
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("hello")
        await answer.close()
        return answer
    return web.Response(text="polling", status=400)


class Server(TestServer):
    """As in production, a lost connection does not cancel what it asked for."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return await super()._make_runner(**options | {"handler_cancellation": False})


def application(rig: Rig, **options: Any) -> web.Application:
    app = web.Application()
    defaults: dict[str, Any] = {
        "origins": ("https://page.example",),
        "trusted_proxies": (ip_network("127.0.0.0/8"),),
        "max_body": 1_000,
        "register_per_minute": 60,
        "login_per_minute": 60,
        "login_failures": 10,
        "reads_per_minute": 600,
    }
    setup_rest(
        app,
        auth=rig.auth,
        limiter=Limiter(MemoryWindows(rig.clock, rig.clock)),
        profiles=Profiles(rig.database),
        health=rig.health,
        clock=rig.clock,
        version="1.2.3",
        **defaults | options,
    )
    app.router.add_get("/crash", crash)
    app.router.add_get("/unsupported", unsupported)
    app.router.add_get("/large", large)
    app.router.add_get("/elsewhere", elsewhere)
    app.router.add_route("*", "/socket.io/", socket)
    return app


@asynccontextmanager
async def serve(
    folder: Path,
    *,
    grace_ms: int = 10_000,
    cached: bool = True,
    rounds: int = 4,
    threads: int = 2,
    waiting: int = 64,
    repository: type[Accounts] = Accounts,
    **options: Any,
) -> AsyncIterator[Rig]:
    clock = Clock()
    async with (
        Database.open(f"sqlite:///{folder}/talksy.db") as database,
        Auth(
            repository(database),
            Passwords(rounds=rounds, threads=threads, waiting=waiting),
            AccessTokens([SECRET], ttl_ms=900_000, guest_ttl_ms=2_592_000_000),
            KnownLogins(Logins(database), [SECRET], clock=clock),
            users=UserCache(size=100 * cached, ttl_ms=300_000, clock=clock),
            tokens=TokenCache(size=100 * cached, ttl_ms=300_000, clock=clock),
            refresh_ttl_ms=604_800_000,
            grace_ms=grace_ms,
            clock=clock,
        ) as auth,
    ):
        rig = Rig(None, auth, database, clock, Standing())
        auth.on_revoked(rig.revoked.append)
        async with TestClient(Server(application(rig, **options))) as client:
            rig.client = client
            yield rig


Serve = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def serving(tmp_path: Path) -> Serve:
    """Opens a server with options of its own."""
    return lambda **options: serve(tmp_path, **options)


@pytest.fixture
async def rig(serving: Serve) -> AsyncIterator[Rig]:
    async with serving() as opened:
        yield opened
