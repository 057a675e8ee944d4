"""Puts the parts together: the one place, beside the command line, that knows everyone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from socket import gethostname
from typing import Any

import structlog
from aiohttp import web
from pydantic import SecretStr

from talksy import __version__
from talksy.ai.llm import Models, Plan, Silence, Watcher
from talksy.auth import AccessTokens, Auth, KnownLogins, Passwords, TokenCache, UserCache
from talksy.config import Settings, SettingsError
from talksy.database import Database, inspect
from talksy.database.accounts import Accounts
from talksy.database.calls import Calls
from talksy.database.clock import Clock
from talksy.database.facts import Facts
from talksy.database.history import History
from talksy.database.lane import Lane
from talksy.database.leases import Leases
from talksy.database.logins import Logins
from talksy.database.machine import only_machine
from talksy.database.profiles import Profiles
from talksy.database.sessions import SessionRows
from talksy.errors import ProviderFault
from talksy.gateway import Caps, Gateway, News, Rules, Workshop
from talksy.health import NodeHealth
from talksy.ids import new_id
from talksy.journal import Bounds, Journal
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.readings import add_readings
from talksy.sessions import Life, Sessions
from talksy.state import Away, MemoryWindows, Slots
from talksy.state.redis import RedisState
from talksy.tools import ToolBounds, Toolbox, ToolWatcher
from talksy.tools.builtin.memory import memory_tools
from talksy.tools.mcp import open_mcp
from talksy.tools.opening import open_toolbox
from talksy.tools.sandbox import SandboxBounds
from talksy.tracing import open_tracing
from talksy.transports.contracts import setup_contracts
from talksy.transports.handover import Handover
from talksy.transports.rest import setup_rest
from talksy.transports.socketio import (
    DirectRooms,
    LibraryRooms,
    LibraryServer,
    Limits,
    Server,
    open_server,
)
from talksy.voice import Engines
from talksy.voice.opening import VoicePlan, open_engines

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0


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
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        metrics = Metrics()
        enter = stack.enter_async_context
        tracing = await enter(
            open_tracing(__version__, on=settings.otel_exporter_otlp_endpoint is not None)
        )
        database = await enter(opened_database(settings, metrics))
        clock = await set_clock(settings, database)
        models = await enter(opened_models(settings, tracing.watch(metrics.providers)))
        auth = await enter(opened_auth(settings, database, clock))
        node = new_id("node")
        # What asks for the number of nodes is opened after what counts them.
        state = await enter(opened_state(settings, node, lambda: journal.stats().nodes))
        limiter = Limiter(state.windows if state else MemoryWindows())
        lane = Lane(database, owner=node)
        sessions = Sessions(
            SessionRows(database, node=lane.owner),
            life(settings),
            clock,
            others=settings.shares_database,
        )
        leases = (
            Leases(database, owner=node, host=gethostname(), ms=settings.node_lease_ms, clock=clock)
            if settings.shares_database
            else None
        )
        toolbox = await enter(
            opened_tools(
                settings,
                database,
                clock,
                slots=state.slots if state else None,
                watcher=metrics.tools,
            )
        )
        engines = await enter(opened_engines(settings))
        profiles = Profiles(database)
        calls = Calls(database, owner=node)
        journal = Journal(
            lane,
            calls=calls,
            clock=clock,
            bounds=bounds(settings),
            metrics=metrics,
            tracing=tracing,
            leases=leases,
            log=state.log if state and leases else None,
            bus=state.bus if state and leases else None,
        )
        workshop = Workshop(
            toolbox, calls, clock, settings.tool_approval_timeout_ms, settings.tool_max_steps
        )
        stack.push_async_callback(workshop.settle)
        gateway = Gateway(
            auth=auth,
            sessions=sessions,
            limiter=limiter,
            lane=lane,
            history=History(database),
            journal=journal,
            workshop=workshop,
            model=models.usual,
            others=models.others,
            engines=engines,
            profiles=profiles,
            slots=state.slots if state else None,
            clock=clock,
            rules=rules(settings),
            caps=caps(settings),
            metrics=metrics,
            news=News(state.bus if state and leases else None, node=node),
        )
        await enter(swept(auth))
        await enter(gateway.open())
        health = NodeHealth(
            gateway=gateway,
            database=database,
            journal=journal,
            limiter=limiter,
            models=models.choices,
            state=state,
        )
        app = web.Application()
        add_rest(
            app,
            settings,
            auth=auth,
            limiter=limiter,
            profiles=profiles,
            health=health,
            clock=clock,
            metrics=metrics,
            handover=handover,
        )
        kind = DirectRooms if settings.socketio_transport == "own" else LibraryRooms
        rooms = kind(state.outside) if state else None
        sockets = open_server(
            settings.socketio_transport,
            gateway,
            origins=settings.cors_origin,
            trusted_proxies=settings.trusted_proxies,
            limits=limits(settings),
            metrics=metrics,
            name=handover.name(settings.node_name) if handover else settings.node_name,
            handover=handover,
            rooms=rooms,
        )
        if rooms is not None:
            await enter(rooms.open())
        sockets.attach(app)
        for choice in models.choices:
            metrics.providers.know(choice.model.provider, choice.model.model)
        metrics.runs(__version__, settings.database_url.partition(":")[0])
        add_readings(
            metrics,
            auth=auth,
            limiter=limiter,
            journal=journal,
            gateway=gateway,
            sockets=sockets,
            state=state,
        )
        await enter(metrics.watching())
        yield Node(app, gateway, sockets)


def add_rest(
    app: web.Application,
    settings: Settings,
    *,
    auth: Auth,
    limiter: Limiter,
    profiles: Profiles,
    health: NodeHealth,
    clock: Callable[[], int],
    metrics: Metrics,
    handover: Handover | None = None,
) -> None:
    """The REST routes, the contracts among them."""
    setup_rest(
        app,
        auth=auth,
        limiter=limiter,
        profiles=profiles,
        health=health,
        clock=clock,
        origins=settings.cors_origin,
        trusted_proxies=settings.trusted_proxies,
        max_body=settings.max_body_bytes,
        version=__version__,
        register_per_minute=settings.auth_register_per_minute,
        login_per_minute=settings.auth_login_per_minute,
        login_failures=settings.auth_login_failures,
        reads_per_minute=settings.rate_limit_reads_per_minute,
        metrics=metrics,
        handover=handover,
        metrics_token=_shown(settings.metrics_token) or None,
        tls=settings.tls_cert is not None,
    )
    setup_contracts(app, version=__version__)


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
        models = Models.open(plan(settings), watcher)
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
                    sandbox_bounds=SandboxBounds(
                        memory=settings.tool_sandbox_memory_mb << 20,
                        children=settings.tool_max_concurrent_per_node,
                    ),
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
async def opened_engines(settings: Settings) -> AsyncIterator[Engines]:
    """What hears and speaks. Raises ``SettingsError`` for what cannot be had."""
    async with AsyncExitStack() as stack:
        try:
            engines = await stack.enter_async_context(open_engines(voice_plan(settings)))
        except ValueError as error:
            raise SettingsError([f"STT_PROVIDER or TTS_PROVIDER: {error}"]) from error
        except ProviderFault as error:
            fault = f"STT_PROVIDER or TTS_PROVIDER: {error.message} {error.hint or ''}"
            raise SettingsError([fault.strip()]) from error
        yield engines


def voice_plan(settings: Settings) -> VoicePlan:
    """Who hears and speaks, and with what."""
    options = model_options(settings)
    vendors = {
        name: {key: options[name][key] for key in ("api_key", "base_url", "connect_timeout")}
        for name in ("openai", "groq")
    }
    grammar = settings.stt_grammar.read_text(encoding="utf-8") if settings.stt_grammar else None
    offline = {"grammar": grammar, "workers": settings.stt_workers}
    return VoicePlan(
        stt=settings.hearers,
        tts=settings.speakers,
        stt_options={**settings.ai_plugin_options, **vendors, "offline": offline},
        tts_options={**settings.ai_plugin_options, **vendors},
        stt_seconds=settings.stt_timeout_ms / 1000,
        tts_seconds=settings.tts_timeout_ms / 1000,
        streams=settings.voice_max_streams,
        warm=settings.voice_warm_detectors,
    )


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


def plan(settings: Settings) -> Plan:
    """Which models there are, and how they are asked."""
    return Plan(
        usual=settings.providers,
        others=settings.ai_models,
        options=model_options(settings),
        per_minute={"groq": settings.groq_max_requests_per_minute},
        makeshift={"mock"} if settings.talksy_env == "production" else (),
        silence=Silence(
            first_token=settings.ai_first_token_timeout_ms / 1000,
            gap=settings.ai_gap_timeout_ms / 1000,
        ),
        reset=settings.ai_failure_after_first_token == "reset",  # noqa: S105
    )


def model_options(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """What each vendor's models are opened with."""
    longest = max(settings.ai_first_token_timeout_ms, settings.ai_gap_timeout_ms) / 1000
    times = {
        "connect_timeout": settings.ai_connect_timeout_ms / 1000,
        # What is silent is left earlier: this is for what nobody waits for.
        "read_timeout": 2 * longest,
    }
    return {
        **settings.ai_plugin_options,
        "mock": {
            "delay_ms": settings.ai_mock_response_delay_ms,
            "directives": settings.ai_mock_directives,
        },
        "openai": {
            "api_key": _shown(settings.openai_api_key),
            "model": settings.openai_model,
            "base_url": settings.openai_base_url,
            "max_tokens": settings.openai_max_tokens,
            "temperature": settings.openai_temperature,
            **times,
        },
        "groq": {
            "api_key": _shown(settings.groq_api_key),
            "model": settings.groq_model,
            "base_url": settings.groq_base_url,
            "max_tokens": settings.groq_max_tokens,
            "temperature": settings.groq_temperature,
            **times,
        },
    }


def _shown(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def life(settings: Settings) -> Life:
    """How long sessions live."""
    return Life(
        idle_ms=settings.session_ttl_ms,
        grace_ms=settings.session_disconnect_grace_ms,
        age_ms=settings.session_max_age_ms,
        per_user=settings.max_sessions_per_user,
        per_node=settings.max_sessions_per_node,
    )


def tool_bounds(settings: Settings) -> ToolBounds:
    """What calls of tools may take."""
    return ToolBounds(
        seconds=settings.tool_execution_timeout_ms / 1000,
        parameter_bytes=settings.tool_max_parameter_size,
        result_bytes=settings.tool_max_result_size,
        per_session=settings.tool_max_concurrent_executions,
        per_user=settings.tool_max_concurrent_per_user,
        per_node=settings.tool_max_concurrent_per_node,
    )


def bounds(settings: Settings) -> Bounds:
    """What a turn may take."""
    return Bounds(
        seconds=settings.turn_timeout_ms / 1000,
        coalesce_ms=settings.stream_coalesce_ms,
        coalesce_bytes=settings.stream_coalesce_bytes,
    )


def rules(settings: Settings) -> Rules:
    """What the door allows."""
    return Rules(
        messages=settings.rate_limit_max_requests,
        messages_ms=settings.rate_limit_window_ms,
        reads=settings.rate_limit_reads_per_minute,
        newcomers=settings.auth_guests_per_minute,
        max_chars=settings.message_max_chars,
        history=settings.session_max_history,
        context_tokens=settings.ai_context_tokens,
        system_prompt=settings.system_prompt,
    )


def caps(settings: Settings) -> Caps:
    """How many sockets there may be."""
    return Caps(
        per_user=settings.max_sockets_per_user,
        per_address=settings.max_sockets_per_address,
        guests_per_address=settings.max_guests_per_address,
    )


def limits(settings: Settings) -> Limits:
    """What a socket may do."""
    return Limits(
        packet_bytes=settings.max_packet_bytes,
        connect=settings.connect_timeout_ms / 1000,
        ping_interval=settings.ping_interval_ms / 1000,
        ping_timeout=settings.ping_timeout_ms / 1000,
        slow=settings.slow_consumer_ms / 1000,
    )
