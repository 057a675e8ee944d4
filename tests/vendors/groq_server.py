"""A local server with the habits of Groq, to be used as ``openai_server`` is.

Its base URL has no path: the SDK adds ``/openai/v1``. What differs from OpenAI: usage stands in
``x_groq`` of the last chunk with text, an error in mid-answer is an event of its own name, a tool's
arguments mostly come in one piece, and every answer has the headers of its rate limit.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from talksy.ai.llm.scene import Scene
from tests.vendors import openai_server
from tests.vendors.audio import hum, segment, spoken, told, wav
from tests.vendors.openai_server import BOTH, DONE, ORDER, chunk
from tests.vendors.replay import ReplayServer, Scenario, main, page, replayed, shredded, written

LIMITS = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "17997",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}
_JSON = {"Content-Type": "application/json"}


def opening() -> bytes:
    """The first chunk: a role, and the request's id."""
    return chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1", "seed": 7})


def thinking(text: str) -> bytes:
    """A piece of a thought, which is no text of the answer."""
    return chunk({"reasoning": text, "channel": "analysis"})


def closing(read: int = 7, written: int = 3, *, finish: str = "stop", **own: Any) -> bytes:
    """The last chunk: why it finished, and what it cost."""
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    times = {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.1, "total_time": 0.102}
    return chunk(finish=finish, x_groq={"id": "req_1", "usage": {**counts, **times}, **own})


def answer(*texts: str, **how: Any) -> Scenario:
    """A whole answer as Groq streams it; ``how`` are fields of ``Scenario``."""
    deltas = [chunk({"content": text}) for text in texts]
    return _limited(Scenario((opening(), *deltas, closing(written=len(texts)), DONE), **how))


def calling(name: str, arguments: str, *, index: int = 0) -> bytes:
    """A tool call, which comes whole."""
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
    return chunk({"tool_calls": [call]})


def asking(*pieces: bytes, finish: str = "tool_calls") -> Scenario:
    """An answer that ends by asking for tools."""
    return Scenario((opening(), *pieces, closing(finish=finish), DONE))


def error(code: str = "internal_error", kind: str = "api_error") -> dict[str, Any]:
    """An error object as Groq words it; it quotes what a log must not have."""
    return {"error": {"message": "Sorry. Your key: gsk-secret", "type": kind, "code": code}}


def broken() -> bytes:
    """An error in mid-answer."""
    return b"event: error\ndata: " + json.dumps(error()).encode() + b"\n\n"


def refusal(status: int, code: str = "internal_error", **headers: str) -> Scenario:
    """An answer that is an error from the start; ``retry_after`` becomes ``retry-after``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _limited(Scenario((json.dumps(error(code)).encode(),), status, {**_JSON, **named}))


def _limited(scenario: Scenario) -> Scenario:
    return replace(scenario, headers={**LIMITS, **scenario.headers})


GREETING = answer("Hello ", "from ", "the ", "replaying ", "server.")
STARTED = GREETING.writes[:3]
"""How it begins: the role and two words."""

HABITS: Mapping[str, Scenario] = {
    "greeting": GREETING,
    "shredded": shredded(answer("grüß ", "dich, ", "世界 ", "🙂"), 3),
    "thinking": Scenario((opening(), thinking("Hm"), *GREETING.writes[1:])),
    "cut": Scenario(STARTED, then="cut"),
    "early-end": Scenario(STARTED),
    "error-inside": Scenario((*STARTED, broken())),
    "stopped": Scenario((*STARTED, closing(error="over capacity"), DONE)),
    "hang": Scenario(STARTED, then="hang"),
    "silence": Scenario(silent=True, then="hang"),
    "no-bytes": Scenario(then="hang"),
    "cut-at-once": Scenario(silent=True, then="cut"),
    "error-at-once": Scenario((broken(),)),
    "junk": Scenario((b"data: not JSON\n\n",)),
    "tool": asking(calling("get_order_status", '{"orderId": "ORD-1001"}')),
    "tools": asking(chunk({"content": "One moment. "}), *BOTH),
    "tool-cut": asking(*ORDER[:6], finish="length"),
    "wrong-key": refusal(401, "invalid_api_key"),
    "forbidden": refusal(403, "permissions_error"),
    "no-model": refusal(404, "model_not_found"),
    "retired-model": refusal(400, "model_decommissioned"),
    "too-long": refusal(413, "request_too_large"),
    "busy": refusal(429, "rate_limit_exceeded", retry_after="20"),
    "busy-for-long": refusal(429, "rate_limit_exceeded", retry_after="3600"),
    "no-capacity": refusal(498, "capacity_exceeded"),
    "broken": refusal(500),
    "html": page(),
    "html-200": page(200),
    "not-there": page(404),
    "redirect": openai_server.HABITS["redirect"],
}


class GroqServer(ReplayServer):
    """Groq's side. ``url`` has no path."""

    root = "/openai/v1"
    base = ""
    habits = HABITS

    @staticmethod
    def sound(path: str, body: Mapping[str, Any]) -> Scenario:
        if path.endswith("/speech"):
            return _limited(spoken(wav(hum(len(body["input"]))), "audio/wav"))
        return _limited(told(text=" what time is it", segments=[segment(" what time is it")]))

    @staticmethod
    def rehearsal(scene: Scene) -> Scenario:
        texts = [chunk({"content": text}) for text in scene.texts]
        calls = [
            calling(call.name, written(call), index=index) for index, call in enumerate(scene.calls)
        ]
        finish = "tool_calls" if calls else "stop"
        end = (*calls, closing(written=len(texts), finish=finish), DONE)
        return replayed(scene, [opening()], texts, broken(), end)


if __name__ == "__main__":
    main(GroqServer, "tests.vendors.groq_server")
