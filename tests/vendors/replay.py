"""A local server that replays what a vendor's answers look like on the wire.

In a test it is told what to answer, request by request, and keeps what it was asked. Each vendor
has a file of its own with its paths, its words and its habits.
"""

import argparse
import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from aiohttp import web

from talksy.ai.llm.directive import parse
from talksy.ai.llm.scene import Scene, stage
from talksy.messages import ToolCall
from tests.vendors.manners import fault, heard, offered

_SSE = {"Content-Type": "text/event-stream; charset=utf-8"}


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
    """Of a form, its fields; a file is its name and its bytes."""


def frame(data: Any) -> bytes:
    """One server-sent event, its UTF-8 not escaped, but for halves of characters."""
    text = json.dumps(data, ensure_ascii=False)
    return b"data: " + text.encode("utf-8", "backslashreplace") + b"\n\n"


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type != "multipart/form-data":
        return await request.json() if request.can_read_body else {}
    return {name: _field(value) for name, value in (await request.post()).items()}


def _field(value: web.FileField | str | bytes | bytearray) -> Any:
    if not isinstance(value, web.FileField):
        return value
    with value.file as file:
        return value.filename, file.read()


def page(status: int = 502) -> Scenario:
    """What a proxy in front of the vendor says."""
    body = b"<html><body><h1>Bad gateway</h1></body></html>"
    return Scenario((body,), status, {"Content-Type": "text/html"})


def _refusal(fault: str) -> Scenario:
    """What a vendor says to a request that is not in its form."""
    error = {"message": fault, "type": "invalid_request_error", "param": "messages", "code": None}
    body = json.dumps({"error": error}).encode()
    return Scenario((body,), 400, {"Content-Type": "application/json"})


def shredded(scenario: Scenario, size: int = 1) -> Scenario:
    """The same bytes in writes of ``size``, so that events and characters are split."""
    whole = b"".join(scenario.writes)
    pieces = tuple(whole[at : at + size] for at in range(0, len(whole), size))
    return replace(scenario, writes=pieces)


def written(call: ToolCall) -> str:
    """The arguments of a call as a model writes them."""
    return call.raw if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False)


def replayed(
    scene: Scene,
    start: Sequence[bytes],
    texts: Sequence[bytes],
    fault: bytes,
    end: Sequence[bytes],
) -> Scenario:
    """What the mock model would do, in a vendor's words."""
    directive = scene.course
    pace = (directive.delay_ms or 0) / 1000
    stops = {"fail": directive.fail_after, "hang": directive.hang_after}
    near = {kind: at for kind, at in stops.items() if at is not None and at <= directive.tokens}
    if not near:
        return Scenario((*start, *texts, *end), pace=pace)
    first = min(near, key=lambda kind: near[kind])
    writes = (*start, *texts[: near[first]])
    if first == "hang":
        return Scenario(writes, then="hang", pace=pace)
    return Scenario((*writes, fault), pace=pace)


class ReplayServer:
    """The server. ``url`` is what a client takes as its base URL."""

    root: ClassVar[str]
    """The path of the API."""
    base: ClassVar[str]
    """As much of it as the base URL has."""
    habits: ClassVar[Mapping[str, Scenario]]
    """How it answers a model of that name, or ``/habit NAME`` in the newest message."""

    def __init__(self, *, port: int = 0, default: Scenario | None = None) -> None:
        self.asked: list[Asked] = []
        self.reached = asyncio.Event()
        """Set when a request has come."""
        self.disconnected = asyncio.Event()
        """Set when a client has left before its answer ended."""
        self.url = ""
        self._port = port
        self._default = default or self.habits["greeting"]
        self._scripted: deque[Scenario] = deque()
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", f"{self.root}/{{path:.*}}", self._reply)
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
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.base}"
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
        body = await _body(request)
        self.asked.append(Asked(request.path, dict(request.headers), body))
        self.reached.set()
        if refused := fault(body):
            scenario = _refusal(refused)
        elif self._scripted:
            scenario = self._scripted.popleft()
        elif request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": []})
        elif "/audio/" in request.path:
            scenario = self.habits.get(body["model"]) or self.sound(request.path, body)
        else:
            scenario = self._choose(body)
        try:
            return await self._play(request, scenario)
        except (asyncio.CancelledError, ConnectionResetError):
            self.disconnected.set()
            raise

    def _choose(self, body: Mapping[str, Any]) -> Scenario:
        prompts = heard(body.get("messages", []))
        scene = stage(prompts, offered(body), directives=True)
        newest = prompts[-1] if prompts else None
        if newest is not None and newest.role == "tool":
            return self.rehearsal(scene)  # whatever habit has asked for it
        if body.get("model") in self.habits:
            return self.habits[body["model"]]
        said = newest.content if newest is not None else ""
        if said.startswith("/habit "):
            return self.habits[said.removeprefix("/habit ").strip()]
        return self.rehearsal(scene) if scene.calls or parse(said) else self._default

    @staticmethod
    def sound(path: str, body: Mapping[str, Any]) -> Scenario:
        """What was said in a file, or the sound of a text."""
        raise NotImplementedError

    @staticmethod
    def rehearsal(scene: Scene) -> Scenario:
        """What the mock model would do, in this vendor's words."""
        raise NotImplementedError

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


def main(kind: type[ReplayServer], program: str) -> None:
    """Runs a server until it is stopped and prints its base URL first."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--habit", choices=kind.habits, default="greeting", help="the usual answer")
    arguments = parser.parse_args()

    async def serve() -> None:
        async with kind(port=arguments.port, default=kind.habits[arguments.habit]) as server:
            print(server.url, flush=True)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
