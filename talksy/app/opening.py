"""The parts of a node, each opened as the settings say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from socket import gethostname

import structlog

from talksy.ai.llm import Models, Watcher
from talksy.app.plans import model_plan, sandbox_bounds, tool_bounds, voice_plan
from talksy.auth import AccessTokens, Auth, KnownLogins, Passwords, TokenCache, UserCache
from talksy.config import Settings, SettingsError
from talksy.database import Database, inspect
from talksy.database.accounts import Accounts
from talksy.database.clock import Clock
from talksy.database.facts import Facts
from talksy.database.logins import Logins
from talksy.database.machine import only_machine
from talksy.errors import ProviderFault
from talksy.metrics import Metrics
from talksy.state import Away, Slots
from talksy.state.redis import RedisState
from talksy.tools import Toolbox, ToolWatcher
from talksy.tools.builtin.memory import memory_tools
from talksy.tools.mcp import open_mcp
from talksy.tools.opening import open_toolbox
from talksy.voice import Engines
from talksy.voice.opening import open_engines

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0


@asynccontextmanager
async def opened_database(settings: Settings, metrics: Metrics) -> AsyncIterator[Database]:
    """The durable truth, for those who may write it. Raises ``Unfit`` where nobody may."""
    async with AsyncExitStack() as stack:
        opened = Database.open(
            settings.database_url,
            upgrade=settings.database_migrate,
            exclusive=True,
            pool_size=settings.database_pool_size,
            metrics=metrics,
        )
        database = await stack.enter_async_context(opened)
        standing = await inspect(database)
        standing.must_serve()
        if standing.clock_off:
            log.warning("clock_off", database_ahead_ms=standing.ahead_ms, hint="use NTP on both")
        if not settings.shares_database:
            alone = only_machine(database, host=gethostname(), ms=settings.node_lease_ms)
            await stack.enter_async_context(alone)
        yield database


async def set_clock(settings: Settings, database: Database) -> Clock:
    """What is stored and compared goes by it: nodes that share a database share its clock."""
    clock = Clock()
    if settings.shares_database:
        await database.read(clock.learn)
    return clock


@asynccontextmanager
async def opened_state(
    settings: Settings, node: str, nodes: Callable[[], int]
) -> AsyncIterator[RedisState | None]:
    """What the nodes share in Redis; None for a node without it.

    In production Redis must serve at the start: raises ``Away`` where it does not.
    """
    if settings.redis_url is None:
        yield None
        return
    async with RedisState.open(settings.redis_url, node=node, nodes=nodes) as state:
        try:
            standing = await state.inspect()
        except Away as error:
            if settings.talksy_env == "production":
                raise
            if state.stats().away_seconds is None:  # else it has been said
                log.warning("redis_unfit", reason=str(error))
        else:
            if standing.clock_off:
                log.warning("clock_off", redis_ahead_ms=standing.ahead_ms, hint="use NTP on both")
            if standing.evicts:
                log.warning("redis_evicts", policy=standing.policy, hint="set it to noeviction")
        yield state


@asynccontextmanager
async def opened_models(
    settings: Settings, watcher: Watcher | None = None
) -> AsyncIterator[Models]:
    """The models that answer. Raises ``SettingsError`` where there is no such vendor."""
    try:
        models = Models.open(model_plan(settings), watcher)
    except ValueError as error:
        raise SettingsError([f"AI_PROVIDER or AI_MODELS: {error}"]) from error
    try:
        for choice in models.choices:
            if choice.makeshift:
                log.warning("mock_in_production", hint="AI_PROVIDER or AI_MODELS names it")
        yield models
    finally:
        await models.close()


@asynccontextmanager
async def opened_tools(
    settings: Settings,
    database: Database,
    clock: Clock,
    *,
    slots: Slots | None = None,
    watcher: ToolWatcher | None = None,
    settle: float = 0.0,
) -> AsyncIterator[Toolbox]:
    """What models and clients may call. Servers of tools are waited for no longer than ``settle``
    seconds. Raises ``SettingsError`` for tools that cannot be had.
    """
    async with AsyncExitStack() as stack:
        try:
            toolbox = await stack.enter_async_context(
                open_toolbox(
                    modules=settings.tool_modules,
                    sandboxed=settings.tool_sandboxed_modules,
                    more=memory_tools(Facts(database), clock),
                    fetch=settings.tool_fetch_url_enabled,
                    bounds=tool_bounds(settings),
                    sandbox_bounds=sandbox_bounds(settings),
                    slots=slots,
                    watcher=watcher,
                )
            )
        except ValueError as error:
            fault = f"TOOL_MODULES or TOOL_SANDBOXED_MODULES: {error}"
            raise SettingsError([fault]) from error
        try:
            links = await stack.enter_async_context(open_mcp(settings.tool_mcp_servers, toolbox))
        except ValueError as error:
            raise SettingsError([f"TOOL_MCP_SERVERS: {error}"]) from error
        await links.settle(settle)
        yield toolbox


@asynccontextmanager
async def opened_engines(
    settings: Settings, hears: Watcher | None = None, speaks: Watcher | None = None
) -> AsyncIterator[Engines]:
    """What hears and speaks; each is watched. Raises ``SettingsError`` for what cannot be had."""
    async with AsyncExitStack() as stack:
        try:
            opening = open_engines(voice_plan(settings), hears=hears, speaks=speaks)
            engines = await stack.enter_async_context(opening)
        except ValueError as error:
            raise SettingsError([f"STT_PROVIDER or TTS_PROVIDER: {error}"]) from error
        except ProviderFault as error:
            fault = f"STT_PROVIDER or TTS_PROVIDER: {error.message} {error.hint or ''}"
            raise SettingsError([fault.strip()]) from error
        yield engines


@asynccontextmanager
async def opened_auth(settings: Settings, database: Database, clock: Clock) -> AsyncIterator[Auth]:
    """Accounts and tokens."""
    cached = settings.auth_cache_enabled
    secrets = [secret.get_secret_value() for secret in settings.jwt_secret]
    auth = Auth(
        Accounts(database),
        Passwords(rounds=settings.bcrypt_rounds),
        AccessTokens(
            secrets,
            ttl_ms=settings.jwt_access_expiry * 1000,
            guest_ttl_ms=settings.guest_token_expiry * 1000 if settings.guests_enabled else None,
        ),
        KnownLogins(Logins(database), secrets, clock=clock),
        users=UserCache(
            size=settings.auth_cache_user_max_size if cached else 0,
            ttl_ms=settings.auth_cache_user_ttl_ms,
            clock=clock,
        ),
        tokens=TokenCache(
            size=settings.auth_cache_token_max_size if cached else 0,
            ttl_ms=settings.auth_cache_token_ttl_ms,
            clock=clock,
        ),
        refresh_ttl_ms=settings.jwt_refresh_expiry * 1000,
        grace_ms=settings.jwt_refresh_grace_ms,
        clock=clock,
    )
    async with auth:
        yield auth


@asynccontextmanager
async def swept(auth: Auth) -> AsyncIterator[None]:
    """Erases what has run out of the accounts' tables, now and then."""

    async def sweep() -> None:
        while True:
            try:
                await auth.sweep()
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                log.warning("token_sweep_failed", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)

    task = asyncio.create_task(sweep(), name="tokens")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
