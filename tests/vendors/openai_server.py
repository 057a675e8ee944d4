"""A local server with the habits of OpenAI and of the servers that are compatible with it.

In a test it is told what to answer, request by request, and keeps what it was asked::

    async with OpenAIServer() as server:
        server.script(answer("Hel", "lo"), refusal(429, "rate_limit_exceeded"))
        ...  # point a client at server.url

A request that nothing is scripted for is answered by the habit that its model is named after, else
by its newest message: ``/habit NAME`` with one of ``HABITS``, a ``/mock`` directive, a wish for a
tool or a tool's result as the mock model answers it, anything else with a greeting. What the vendor
refuses in a request is refused with 400. So it can also run on its own, with a whole Talksy pointed
at it by ``OPENAI_BASE_URL``::

    python -m tests.vendors.openai_server --port 8901
"""

import json
from collections.abc import Mapping
from typing import Any

from talksy.ai.llm.scene import Scene
from tests.vendors.audio import hum, spoken, told, transcribed
from tests.vendors.replay import (
    ReplayServer,
    Scenario,
    frame,
    main,
    page,
    replayed,
    shredded,
    written,
)

_JSON = {"Content-Type": "application/json"}
DONE = b"data: [DONE]\n\n"
COMMENT = b": still thinking\n\n"


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


def calling(*pieces: bytes, finish: str = "tool_calls") -> Scenario:
    """An answer that ends by asking for tools."""
    return Scenario((opening(), *pieces, chunk(finish=finish), usage(), DONE))


BALANCE = call_pieces("get_account_balance", '{"userId": "user-1"}', index=0, id="call_a")
ORDER = call_pieces("get_order_status", '{"orderId": "ORD-1001"}', index=1, id="call_b")
BOTH = (BALANCE[0], *ORDER[:4], *BALANCE[1:], *ORDER[4:])
"""Two calls of one answer, whose pieces come mixed."""


def error(code: str = "server_error", message: str = "The server had an error") -> dict[str, Any]:
    """An error object as the vendor words it; it quotes what a log must not have."""
    text = f"{message}. Your key: sk-secret"
    return {"error": {"message": text, "type": "error", "param": None, "code": code}}


def refusal(status: int, code: str = "server_error", **headers: str) -> Scenario:
    """An answer that is an error from the start; ``retry_after`` becomes ``Retry-After``."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Scenario((json.dumps(error(code)).encode(),), status, {**_JSON, **named})


GREETING = answer("Hello ", "from ", "the ", "replaying ", "server.")

STARTED = GREETING.writes[:3]
"""How it begins: the role and two words."""

HABITS: dict[str, Scenario] = {
    "greeting": GREETING,
    "shredded": shredded(answer("grüß ", "dich, ", "世界 ", "🙂"), 3),
    "comments": Scenario((COMMENT, opening(), COMMENT, *GREETING.writes[1:])),
    "bare": Scenario((chunk({"content": "Hello"}), chunk(finish="stop"))),
    "cut": Scenario(STARTED, then="cut"),
    "early-end": Scenario(STARTED),
    "error-inside": Scenario((*STARTED, frame(error()))),
    "hang": Scenario(STARTED, then="hang"),
    "silence": Scenario(silent=True, then="hang"),
    "tool": calling(*call_pieces("get_order_status", '{"orderId": "ORD-1001"}')),
    "tools": calling(chunk({"content": "One moment. "}), *BOTH),
    "tool-cut": calling(*ORDER[:6], finish="length"),
    "wrong-key": refusal(401, "invalid_api_key"),
    "no-model": refusal(404, "model_not_found"),
    "busy": refusal(429, "rate_limit_exceeded", retry_after="20"),
    "broken": refusal(500),
    "html": page(),
    "html-200": page(200),
    "not-there": page(404),
    "forbidden": refusal(403, "model_not_allowed"),
    "too-long": refusal(400, "context_length_exceeded"),
    "no-credit": refusal(429, "insufficient_quota"),
    "busy-for-long": refusal(503, retry_after="3600"),
    "redirect": Scenario((), 307, {"Location": "http://127.0.0.1:9/v1/chat/completions"}),
    "junk": Scenario((b"data: not JSON\n\n",)),
    "no-bytes": Scenario(then="hang"),
    "cut-at-once": Scenario(silent=True, then="cut"),
    "error-at-once": Scenario((frame(error()),)),
    "surrogates": answer("a\ud83d", "\ude00b\0c"),
}


class OpenAIServer(ReplayServer):
    """OpenAI's side. ``url`` ends in ``/v1``."""

    root = base = "/v1"
    habits = HABITS

    @staticmethod
    def sound(path: str, body: Mapping[str, Any]) -> Scenario:
        if path.endswith("/speech"):
            return spoken(hum(len(body["input"])))
        if body.get("stream") == "true":
            return transcribed("what ", "time ", "is it")
        return told(text="what time is it")

    @staticmethod
    def rehearsal(scene: Scene) -> Scenario:
        texts = [chunk({"content": text}) for text in scene.texts]
        calls = [
            piece
            for index, call in enumerate(scene.calls)
            for piece in call_pieces(call.name, written(call), index=index, id=f"call_{index}")
        ]
        finish = chunk(finish="tool_calls" if calls else "stop")
        end = (*calls, finish, usage(written=len(texts)), DONE)
        return replayed(scene, [opening()], texts, frame(error()), end)


if __name__ == "__main__":
    main(OpenAIServer, "tests.vendors.openai_server")
