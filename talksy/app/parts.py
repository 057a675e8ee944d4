"""What stands behind the door of a node, opened in order."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from socket import gethostname

from talksy import __version__
from talksy.ai.llm import Models
from talksy.app.opening import (
    opened_auth,
    opened_database,
    opened_engines,
    opened_models,
    opened_state,
    opened_tools,
    set_clock,
)
from talksy.app.plans import bounds
from talksy.auth import Auth
from talksy.config import Settings
from talksy.database import Database
from talksy.database.calls import Calls
from talksy.database.clock import Clock
from talksy.database.lane import Lane
from talksy.database.leases import Leases
from talksy.database.profiles import Profiles
from talksy.gateway import Workshop
from talksy.ids import new_id
from talksy.journal import Journal
from talksy.metrics import Metrics
from talksy.ratelimit import Limiter
from talksy.state import Bus, MemoryWindows, Slots
from talksy.state.redis import RedisState
from talksy.tracing import open_tracing
from talksy.voice import Engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What stands behind the door of a node."""

    settings: Settings
    name: str
    """In whose name its rows are written."""
    metrics: Metrics
    database: Database
    clock: Clock
    models: Models
    auth: Auth
    state: RedisState | None
    slots: Slots | None
    """Shared by all nodes; None where this one has its own."""
    bus: Bus | None
    """Words between nodes; None where there is no other."""
    limiter: Limiter
    engines: Engines
    profiles: Profiles
    lane: Lane
    journal: Journal
    workshop: Workshop


@asynccontextmanager
async def opened_parts(settings: Settings) -> AsyncIterator[Parts]:
    """In this order, and closed in reverse."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        metrics, name = Metrics(), new_id("node")
        tracing = await enter(
            open_tracing(__version__, on=settings.otel_exporter_otlp_endpoint is not None)
        )
        database = await enter(opened_database(settings, metrics))
        clock = await set_clock(settings, database)
        models = await enter(opened_models(settings, tracing.watch(metrics.providers)))
        auth = await enter(opened_auth(settings, database, clock))
        # Nobody asks for the number of nodes before there is the journal, which counts them.
        state = await enter(opened_state(settings, name, lambda: journal.stats().nodes))
        slots = state.slots if state else None
        toolbox = await enter(
            opened_tools(settings, database, clock, slots=slots, watcher=metrics.tools)
        )
        engines = await enter(opened_engines(settings, metrics.stt, metrics.tts))
        lane, calls = Lane(database, owner=name), Calls(database, owner=name)
        shared = state if settings.shares_database else None
        journal = Journal(
            lane,
            calls=calls,
            clock=clock,
            bounds=bounds(settings),
            metrics=metrics,
            tracing=tracing,
            leases=_leases(settings, database, name, clock),
            log=shared.log if shared else None,
            bus=shared.bus if shared else None,
        )
        workshop = Workshop(
            toolbox, calls, clock, settings.tool_approval_timeout_ms, settings.tool_max_steps
        )
        stack.push_async_callback(workshop.settle)
        yield Parts(
            settings=settings,
            name=name,
            metrics=metrics,
            database=database,
            clock=clock,
            models=models,
            auth=auth,
            state=state,
            slots=slots,
            bus=shared.bus if shared else None,
            limiter=Limiter(state.windows if state else MemoryWindows()),
            engines=engines,
            profiles=Profiles(database),
            lane=lane,
            journal=journal,
            workshop=workshop,
        )


def _leases(settings: Settings, database: Database, name: str, clock: Clock) -> Leases | None:
    if not settings.shares_database:
        return None
    host = gethostname()
    return Leases(database, owner=name, host=host, ms=settings.node_lease_ms, clock=clock)
