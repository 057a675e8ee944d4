"""A local server with the habits of OpenAI and of the servers that are compatible with it.

In a test it is told what to answer, request by request, and keeps what it was asked::

    async with OpenAIServer() as server:
        server.script(answer("Hel", "lo"), refusal(429, "rate_limit_exceeded"))
        ...  # point a client at server.url

A request that nothing is scripted for is answered by its newest message: ``/habit NAME`` with one
of ``HABITS``, a ``/mock`` directive as the mock model follows it, anything else with a greeting. So
it can also run on its own, with a whole Talksy pointed at it by ``OPENAI_BASE_URL``::

    python -m tests.vendors.openai_server --port 8901
"""

import argparse
import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from talksy.ai.llm.directive import Directive, parse

_SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
_JSON = {"Content-Type": "application/json"}
DONE = b"data: [DONE]\n\n"
COMMENT = b": still thinking\n\n"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One answer. Each item of ``writes`` leaves in a TCP write of its own."""

    writes: tuple[bytes, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_SSE))
    then: Literal["end", "hang", "cut"] = "end"
    """After the last write: end well, go silent, or break the connection."""
    silent: bool = False
    """Not even the headers are sent; ``then`` comes at once."""
    pace: float = 0.0
    """Seconds between two writes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


def frame(data: Any) -> bytes:
    """One server-sent event, its UTF-8 not escaped."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(
    delta: Mapping[str, Any] | None = None, *, finish: str | None = None, **more: Any
) -> bytes:
    """A chunk with one choice, in the full shape of the vendor; ``more`` replaces its fields."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return frame(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "replayed",
            "system_fingerprint": None,
            "choices": [choice],
            "usage": None,
            **more,
        }
    )


def usage(read: int = 7, written: int = 3) -> bytes:
    """The chunk after the last: no choices, but what the answer cost."""
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return chunk(choices=[], usage=counts)


def opening() -> bytes:
    """The first chunk: a role, and text that is empty."""
    return chunk({"role": "assistant", "content": "", "refusal": None})


def answer(*texts: str, cost: bytes | None = None, **how: Any) -> Scenario:
    """A whole answer as OpenAI streams it; ``how`` are fields of ``Scenario``."""
    deltas = [chunk({"content": text}) for text in texts]
    cost = usage(written=len(texts)) if cost is None else cost
    return Scenario((opening(), *deltas, chunk(finish="stop"), cost, DONE), **how)


def call_pieces(name: str, arguments: str, *, index: int = 0, id: str = "call_1") -> list[bytes]:  # noqa: A002
    """A tool call as it streams: its name first, its arguments three characters at a time."""
    head = {"index": index, "id": id, "type": "function"}
    first = {**head, "function": {"name": name, "arguments": ""}}
    pieces = [arguments[at : at + 3] for at in range(0, len(arguments), 3)]
    rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    return [chunk({"tool_calls": [each]}) for each in (first, *rest)]


def calling(*pieces: bytes) -> Scenario:
    """An answer that ends by asking for tools."""
    return Scenario((opening(), *pieces, chunk(finish="tool_calls"), usage(), DONE))


def error(code: str = "server_error", message: str = "The server had an error") -> dict[str, Any]:
    """An error object as the vendor words it; it quotes what a log must not have."""
    text = f"{message}. Your key: sk-secret"
    return {"error": {"message": text, "type": "error", "param": None, "code": code}}


def refusal(status: int, code: str = "server_error", **headers: str) -> Scenario:
    """An answer that is an error from the start; ``retry_after`` becomes ``Retry-After``."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Scenario((json.dumps(error(code)).encode(),), status, {**_JSON, **named})


def page(status: int = 502) -> Scenario:
    """What a proxy in front of the vendor says."""
    body = b"<html><body><h1>Bad gateway</h1></body></html>"
    return Scenario((body,), status, {"Content-Type": "text/html"})


def shredded(scenario: Scenario, size: int = 1) -> Scenario:
    """The same bytes in writes of ``size``, so that events and characters are split."""
    whole = b"".join(scenario.writes)
    pieces = tuple(whole[at : at + size] for at in range(0, len(whole), size))
    return replace(scenario, writes=pieces)


def rehearsal(directive: Directive) -> Scenario:
    """What the mock model would do, in this vendor's words."""
    writes = [opening(), *(chunk({"content": text}) for text in directive.texts())]
    pace = (directive.delay_ms or 0) / 1000
    stops = {"fail": directive.fail_after, "hang": directive.hang_after}
    near = {kind: at for kind, at in stops.items() if at is not None and at <= directive.tokens}
    if near:
        first = min(near, key=lambda kind: near[kind])
        writes = writes[: 1 + near[first]]
        if first == "hang":
            return Scenario(tuple(writes), then="hang", pace=pace)
        return Scenario((*writes, frame(error())), pace=pace)
    if directive.tool is not None:
        writes += call_pieces(directive.tool, json.dumps(directive.arguments))
    cost = usage(written=directive.tokens)
    return Scenario((*writes, chunk(finish="stop"), cost, DONE), pace=pace)


GREETING = answer("Hello ", "from ", "the ", "replaying ", "server.")

HABITS: dict[str, Scenario] = {
    "greeting": GREETING,
    "shredded": shredded(answer("grüß ", "dich, ", "世界 ", "🙂"), 3),
    "comments": Scenario((COMMENT, opening(), COMMENT, *GREETING.writes[1:])),
    "bare": Scenario((chunk({"content": "Hello"}), chunk(finish="stop"))),
    "cut": Scenario(GREETING.writes[:3], then="cut"),
    "early-end": Scenario(GREETING.writes[:3]),
    "error-inside": Scenario((*GREETING.writes[:3], frame(error()))),
    "hang": Scenario(GREETING.writes[:3], then="hang"),
    "silence": Scenario(silent=True, then="hang"),
    "tool": calling(*call_pieces("get_order_status", '{"orderId": "ORD-1001"}')),
    "wrong-key": refusal(401, "invalid_api_key"),
    "no-model": refusal(404, "model_not_found"),
    "busy": refusal(429, "rate_limit_exceeded", retry_after="20"),
    "broken": refusal(500),
    "html": page(),
}


class OpenAIServer:
    """The server. ``url`` is what a client takes as its base URL."""

    def __init__(self, *, port: int = 0, default: Scenario = GREETING) -> None:
        self.asked: list[Asked] = []
        self.reached = asyncio.Event()
        """Set when a request has come."""
        self.disconnected = asyncio.Event()
        """Set when a client has left before its answer ended."""
        self.url = ""
        self._port = port
        self._default = default
        self._scripted: deque[Scenario] = deque()
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/v1/{path:.*}", self._reply)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=1
        )

    def script(self, *scenarios: Scenario) -> None:
        """The next requests, to whatever path, get these answers in this order."""
        self._scripted.extend(scenarios)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.asked.append(Asked(request.path, dict(request.headers), body))
        self.reached.set()
        if self._scripted:
            scenario = self._scripted.popleft()
        elif request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": []})
        else:
            scenario = self._choose(body.get("messages", []))
        try:
            return await self._play(request, scenario)
        except (asyncio.CancelledError, ConnectionResetError):
            self.disconnected.set()
            raise

    def _choose(self, messages: Sequence[Mapping[str, Any]]) -> Scenario:
        newest = messages[-1]["content"] if messages else ""
        if newest.startswith("/habit "):
            return HABITS[newest.removeprefix("/habit ").strip()]
        directive = parse(newest)
        return self._default if directive is None else rehearsal(directive)

    async def _play(self, request: web.Request, scenario: Scenario) -> web.StreamResponse:
        response = web.StreamResponse(status=scenario.status, headers=scenario.headers)
        if not scenario.silent:
            await response.prepare(request)
            for write in scenario.writes:
                await response.write(write)
                await asyncio.sleep(scenario.pace)
        if scenario.then == "hang":
            await self._closing.wait()
        if scenario.then == "cut" and request.transport is not None:
            request.transport.abort()
        return response


async def _serve(port: int, habit: str) -> None:
    async with OpenAIServer(port=port, default=HABITS[habit]) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Runs the server until it is stopped and prints its base URL first."""
    parser = argparse.ArgumentParser(prog="python -m tests.vendors.openai_server")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--habit", choices=HABITS, default="greeting", help="the usual answer")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.habit))


if __name__ == "__main__":
    main()
