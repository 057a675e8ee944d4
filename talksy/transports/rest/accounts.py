"""POST /auth/register, /auth/login, /auth/refresh, /auth/logout and GET /auth/me."""

from collections.abc import Sequence

from aiohttp import web

from talksy.auth import Auth
from talksy.errors import RateLimited
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.transports.address import Network
from talksy.transports.asking import address, token
from talksy.transports.rest.bodies import (
    GrantBody,
    LoginBody,
    RefreshBody,
    RegisterBody,
    TokensBody,
    UserBody,
    answer,
    read,
)
from talksy.transports.rest.guesses import Guesses

MINUTE_MS = 60_000


class AccountRoutes:
    """Accounts over REST, limited by address where a password is worked on."""

    def __init__(
        self,
        auth: Auth,
        limiter: Limiter,
        metrics: Metrics,
        *,
        trusted_proxies: Sequence[Network],
        max_body: int,
        register_per_minute: int,
        login_per_minute: int,
        login_failures: int,
    ) -> None:
        self._auth = auth
        self._limiter = limiter
        self._metrics = metrics
        self._trusted = trusted_proxies
        self._max_body = max_body
        self._register_per_minute = register_per_minute
        self._login_per_minute = login_per_minute
        self._guesses = Guesses(limiter, auth.known, failures=login_failures)

    def add(self, router: web.UrlDispatcher) -> None:
        router.add_post("/auth/register", self.register)
        router.add_post("/auth/login", self.login)
        router.add_post("/auth/refresh", self.refresh)
        router.add_post("/auth/logout", self.logout)
        router.add_get("/auth/me", self.me)

    async def register(self, request: web.Request) -> web.Response:
        with self._metrics.attempt("register"):
            await self._limit(request, "register", self._register_per_minute)
            body = await read(request, RegisterBody, self._max_body)
            grant = await self._auth.register(body.email, body.password)
        await self._guesses.remember(body.email, address(request, self._trusted))
        return answer(GrantBody.of(grant), 201)

    async def login(self, request: web.Request) -> web.Response:
        with self._metrics.attempt("login"):
            await self._limit(request, "login", self._login_per_minute)
            body = await read(request, LoginBody, self._max_body)
            self._auth.must_have_room()
            async with self._guesses.one(body.email, address(request, self._trusted)):
                grant = await self._auth.login(body.email, body.password)
        return answer(GrantBody.of(grant))

    async def refresh(self, request: web.Request) -> web.Response:
        with self._metrics.attempt("refresh"):
            body = await read(request, RefreshBody, self._max_body)
            grant = await self._auth.refresh(body.refresh_token)
        return answer(TokensBody.of(grant))

    async def logout(self, request: web.Request) -> web.Response:
        with self._metrics.attempt("logout"):
            body = await read(request, RefreshBody, self._max_body)
            await self._auth.logout(body.refresh_token)
        return web.Response(status=204)

    async def me(self, request: web.Request) -> web.Response:
        identity = await self._auth.verify(token(request))
        return answer(UserBody.of(await self._auth.user(identity.user_id)))

    async def _limit(self, request: web.Request, name: str, per_minute: int) -> None:
        key = f"{name}:{address(request, self._trusted)}"
        verdict = await self._limiter.take(key, per_minute, MINUTE_MS)
        if not verdict.allowed:
            raise RateLimited(retry_after=verdict.retry_after)
