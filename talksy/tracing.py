"""A span for each turn and each call of a provider, by OpenTelemetry, where that is asked for.

Names and attributes are those of its conventions for generative AI, where they have one. No span
holds what was said.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from time import time_ns
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from talksy.events import Ending

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

log = structlog.get_logger(__name__)

LAST_SECONDS = 2.0
FINE = frozenset({"ok", "cancelled"})

Attributes = Mapping[str, str | bool | int]


class Watcher(Protocol):
    """The ``Watcher`` of the models: the names are those of ``talksy.ai.llm``."""

    def called(self, provider: str, model: str, outcome: str, seconds: float) -> None: ...

    def first_token(self, provider: str, model: str, seconds: float) -> None: ...

    def retried(self, provider: str, model: str) -> None: ...

    def moved(self, provider: str, model: str, *, reset: bool) -> None: ...

    def breaker(self, provider: str, model: str, state: str) -> None: ...


W = TypeVar("W", bound=Watcher)


class TurnSpan:
    """The span of one turn; without one, nothing."""

    def __init__(self, span: "Span | None" = None) -> None:
        self._span = span

    def ended(self, ending: Ending | None) -> None:
        """How the turn ended."""
        if self._span is None or ending is None:
            return
        self._span.set_attributes(dict(_told(ending)))
        if ending.error is not None:
            _fail(self._span, str(ending.error.get("code")))


class Tracing:
    """Makes the spans of a node; without a tracer, none."""

    def __init__(self, tracer: "Tracer | None" = None) -> None:
        self._tracer = tracer

    @contextmanager
    def turn(self, session_id: str, turn_id: str, *, streamed: bool) -> Iterator[TurnSpan]:
        """The block is a turn: what providers are asked in it belongs to it."""
        if self._tracer is None:
            yield TurnSpan()
            return
        attributes: Attributes = {
            "gen_ai.conversation.id": session_id,
            "talksy.turn.id": turn_id,
            "talksy.turn.streamed": streamed,
        }
        with self._tracer.start_as_current_span("turn", attributes=attributes) as span:
            yield TurnSpan(span)

    def watch(self, watcher: W) -> "W | TracedWatcher":
        """``watcher``, behind one that makes spans of what it is told."""
        return watcher if self._tracer is None else TracedWatcher(self._tracer, watcher)


class TracedWatcher:
    """Makes spans of calls when they have ended, in the task of their turn."""

    def __init__(self, tracer: "Tracer", watcher: Watcher) -> None:
        self._tracer = tracer
        self._watcher = watcher

    def called(self, provider: str, model: str, outcome: str, seconds: float) -> None:
        """A call has ended: its span began ``seconds`` ago."""
        from opentelemetry.trace import SpanKind, get_current_span

        now = time_ns()
        # The loop's clock is a little behind: nothing began before what it is part of.
        turn = getattr(get_current_span(), "start_time", None) or 0
        span = self._tracer.start_span(
            f"chat {model}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "talksy.outcome": outcome,
            },
            start_time=max(now - int(seconds * 1e9), turn),
        )
        if outcome not in FINE:
            _fail(span, outcome)
        span.end(now)
        self._watcher.called(provider, model, outcome, seconds)

    def first_token(self, provider: str, model: str, seconds: float) -> None:
        """The first text has come: the turn's span has the moment."""
        _note("first token", {"gen_ai.provider.name": provider, "gen_ai.request.model": model})
        self._watcher.first_token(provider, model, seconds)

    def retried(self, provider: str, model: str) -> None:
        """A call is made again: it will have a span of its own."""
        self._watcher.retried(provider, model)

    def moved(self, provider: str, model: str, *, reset: bool) -> None:
        """The next provider answers in this one's place."""
        _note("fallback", {"gen_ai.provider.name": provider, "talksy.reset": reset})
        self._watcher.moved(provider, model, reset=reset)

    def breaker(self, provider: str, model: str, state: str) -> None:
        """A circuit breaker has changed."""
        self._watcher.breaker(provider, model, state)


@asynccontextmanager
async def open_tracing(version: str, *, on: bool) -> AsyncIterator[Tracing]:
    """Where it is ``on``, spans go out as the SDK's own variables say (``OTEL_…``).

    Without the SDK it logs a line, and there are none. What has not gone out at the end is sent
    then, if it goes out within ``LAST_SECONDS``.
    """
    if not on:
        yield Tracing()
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("tracing_off", hint="OpenTelemetry is not here: pip install 'talksy[otel]'")
        yield Tracing()
        return
    resource = Resource.create({"service.version": version})
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "talksy"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Tracing(provider.get_tracer("talksy", version))
    finally:
        await _sent(provider.shutdown)


async def _sent(flush: Callable[[], None]) -> None:
    """Runs ``flush``, which blocks, in a thread that nobody waits for where it takes too long."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        flush()
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(LAST_SECONDS):
            await done.wait()
    except TimeoutError:
        log.warning("spans_lost", hint="the collector of OTEL_EXPORTER_OTLP_ENDPOINT is away")


def _told(ending: Ending) -> Iterator[tuple[str, str | bool | int]]:
    yield "talksy.turn.reason", ending.reason
    yield "talksy.turn.chunks", ending.chunks
    yield "talksy.degraded", ending.degraded
    if ending.provider is not None:
        yield "gen_ai.provider.name", ending.provider
    if ending.model is not None:
        yield "gen_ai.response.model", ending.model
    if ending.usage is not None:
        yield "gen_ai.usage.input_tokens", ending.usage.input_tokens
        yield "gen_ai.usage.output_tokens", ending.usage.output_tokens


def _fail(span: "Span", kind: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _note(name: str, attributes: Attributes) -> None:
    from opentelemetry.trace import get_current_span

    get_current_span().add_event(name, attributes)
