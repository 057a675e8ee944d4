"""Spans of turns and calls, as a collector gets them by OTLP over HTTP."""

import asyncio
import gzip
import importlib.abc
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from talksy.events import Ending
from talksy.tracing import open_tracing
from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.server import running_server
from tests.vendors.openai_server import OpenAIServer, answer, refusal


@dataclass
class Collector:
    """Takes spans in."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    service: str = ""
    raw: bytes = b""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.service = told(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        async with self._news:
            self._news.notify_all()
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def turns(self, count: int) -> list[Span]:
        """The spans of so many turns, once they are here."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.name == "turn"]

        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(found()) >= count)
        return found()

    def below(self, span: Span) -> list[Span]:
        """The spans of the calls that a turn made, first first."""
        below = [each for each in self.spans if each.parent_span_id == span.span_id]
        return sorted(below, key=lambda each: each.end_time_unix_nano)


def told(thing: Any) -> Mapping[str, Any]:
    """The attributes of a span or a resource."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes
    }


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield collector
    await runner.cleanup()


async def test_a_turn_is_a_span_and_each_call_one_below_it(collector: Collector) -> None:
    """Here: a call that fails, the one that answers, and a second turn that fails for good."""
    async with (
        OpenAIServer() as vendor,
        running_server(
            AI_PROVIDER="openai",
            OPENAI_BASE_URL=vendor.url,
            OPENAI_MODEL="replayed",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY=50,
        ) as server,
    ):
        vendor.script(refusal(500), answer("a ", "b ", pace=0.2), refusal(401, "invalid_api_key"))
        account = await Account.register(server.url)
        client = await Client.connect(server.url, auth={"token": account.token})
        session = (await client.session())["sessionId"]
        acks = []
        for text in ("the-question-itself", "another"):
            acks.append(await client.say(text))
            await client.ending(acks[-1]["turnId"])
        whole, failed = await collector.turns(2)
        await client.close()

    assert told(whole) == {
        "gen_ai.conversation.id": session,
        "talksy.turn.id": acks[0]["turnId"],
        "talksy.turn.streamed": True,
        "talksy.turn.reason": "completed",
        "talksy.turn.chunks": 2,
        "talksy.degraded": False,
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "replayed",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
    }
    first, second = collector.below(whole)
    assert first.name == second.name == "chat replayed"
    assert first.kind == Span.SPAN_KIND_CLIENT
    assert told(first)["error.type"] == "unavailable"
    assert told(second)["talksy.outcome"] == "ok"
    assert "error.type" not in told(second)
    assert whole.start_time_unix_nano <= first.start_time_unix_nano < first.end_time_unix_nano
    assert [event.name for event in whole.events] == ["first token"]
    assert told(failed)["error.type"] == "PROVIDER_UNAVAILABLE"
    assert [told(span)["error.type"] for span in collector.below(failed)] == ["auth"]
    assert collector.service == "talksy"
    assert len(collector.spans) == 5
    for hidden in (b"the-question-itself", b"a b ", account.email.encode()):
        assert hidden not in collector.raw


async def test_what_has_not_gone_out_is_sent_at_the_end(collector: Collector) -> None:
    async with running_server(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="ours"
    ) as server:
        client = await Client.connect(server.url)
        await client.ending((await client.say("/mock tokens=2", stream=False))["turnId"])
        await client.close()
        assert collector.spans == []

    assert [span.name for span in collector.spans] == ["chat mock", "turn"]
    assert collector.service == "ours"


class _Missing(importlib.abc.MetaPathFinder):
    """Nobody has installed OpenTelemetry."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)


async def test_asked_for_and_not_installed_it_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(), *sys.meta_path])
    with capture_logs() as lines:
        async with open_tracing("1.2.3", on=True) as tracing:
            with tracing.turn("ses_1", "trn_1", streamed=True) as span:
                span.ended(Ending("completed", "text"))
    [line] = lines
    assert (line["event"], line["log_level"]) == ("tracing_off", "warning")
    assert "pip install" in line["hint"]
