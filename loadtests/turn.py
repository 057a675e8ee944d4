"""What one reader is given of one turn, compared with what the contract promises."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

ENDINGS = ("stream_end", "assistant_response")
TURN_EVENTS = frozenset(
    {"stream_start", "stream_chunk", "stream_reset", "tool_call", "tool_result", *ENDINGS}
)


@lru_cache(maxsize=64)  # one copy, however many read it
def tokens(count: int, chars: int = 0) -> str:
    """What the mock model writes for ``/mock tokens={count} chars={chars}``."""
    return "".join(f"{number} ".ljust(chars) for number in range(count))


@dataclass
class Turn:
    """A turn as one reader sees it. Times are seconds of ``time.perf_counter``.

    ``take`` is given each event as it comes; what it finds is in ``lost``, ``repeated``,
    ``endings`` and ``wrong``. The same turn is read on over another connection.
    """

    turn_id: str
    asked: float
    """When the question was sent."""
    text: str | None = None
    """What the answer must be; None where nobody can tell."""
    seq: int = -1
    """The last number that was seen."""
    lost: int = 0
    """Events that were skipped."""
    repeated: int = 0
    """Events that came twice, late or after the end."""
    endings: int = 0
    wrong: str = ""
    """The first thing that was not what it must be; empty where all was."""
    given: str = ""
    """The answer so far; with the ending, the whole of it."""
    chunks: int = 0
    started: float | None = None
    first: float | None = None
    """When the first chunk came."""
    ended: float | None = None
    gap: float = 0.0
    """The longest silence between two chunks on one connection."""
    owed: bool = False
    """Somebody asked for it here, and it was not told yet what came of it."""
    reason: str = ""
    code: str = ""
    """Of the error with which it ended."""
    calls: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The results of its tools, by the id of the call; empty until there is one."""
    _last: float | None = None
    _index: int = 0

    def take(self, event: str, data: Mapping[str, Any], now: float) -> bool:
        """Takes an event; whether it was the next one, or further on."""
        seq = int(data["seq"])
        if event in ENDINGS:
            self.endings += 1
        if seq <= self.seq or (self.ended is not None):
            self.repeated += 1
            return False
        self.lost += seq - self.seq - 1
        self.seq = seq
        if event == "stream_chunk":
            self._chunk(data, now)
        elif event == "stream_reset":
            self.given, self._index = "", 0
        elif event == "stream_start":
            self.started = now
        elif event == "tool_call":
            self._call(data)
        elif event == "tool_result":
            self._result(data)
        else:
            self._end(data, now)
        return True

    def interrupted(self) -> None:
        """The connection is gone: the silence until there is another is no gap of the server's."""
        self._last = None

    @property
    def too_early(self) -> bool:
        """It was refused before it had said anything, for the client to ask again."""
        return self.reason == "failed" and self.code == "OVERLOADED" and not self.chunks

    @property
    def fault(self) -> str:
        """What is wrong with it, in a line; empty where it is as it must be."""
        if self.lost:
            return f"{self.lost} events of a turn are missing"
        if self.repeated:
            return f"{self.repeated} events of a turn came twice, late or after its end"
        if self.endings != 1:
            return f"a turn has {self.endings} endings"
        return self.wrong

    def _chunk(self, data: Mapping[str, Any], now: float) -> None:
        content = str(data["content"])
        if not self.lost:
            # Where a chunk is missing all that follows is out of place, and that is said already.
            if data["index"] != self._index:
                self._fault(f"chunk {data['index']} came where {self._index} was due")
            # By its place, not by its number alone: each piece is where it belongs.
            if self.text is not None and not self.text.startswith(content, len(self.given)):
                self._fault("a chunk that is not the next piece of the answer")
        self._index = int(data["index"]) + 1
        self.given += content
        self.chunks += 1
        if self.first is None:
            self.first = now
        if self._last is not None:
            self.gap = max(self.gap, now - self._last)
        self._last = now

    def _call(self, data: Mapping[str, Any]) -> None:
        if data["callId"] in self.calls:
            self._fault("a tool was asked for twice under one id")
        self.calls[str(data["callId"])] = {}

    def _result(self, data: Mapping[str, Any]) -> None:
        call_id = str(data["callId"])
        if call_id not in self.calls:
            self._fault("the result of a tool that nobody asked for")
        elif self.calls[call_id]:
            self._fault("a tool's result came twice")
        self.calls[call_id] = data

    def _end(self, data: Mapping[str, Any], now: float) -> None:
        self.ended = now
        self.reason = str(data["reason"])
        self.code = str((data.get("error") or {}).get("code", ""))
        if (whole := data.get("text")) is not None:
            if not self.lost and not str(whole).startswith(self.given):
                self._fault("the ending takes back what was shown")
            self.given = str(whole)
        elif self.reason == "completed":
            self._count(int(data.get("chunks", self._index)))
        if self.reason == "cancelled":
            self._check_beginning()
        elif self.reason != "completed":
            self._fault(f"it ended {self.reason}" + (f" with {self.code}" if self.code else ""))
        elif self.text is not None and not self.lost and self.given != self.text:
            self._fault("the answer is another text")

    def _count(self, chunks: int) -> None:
        if not self.lost and chunks != self._index:
            self._fault(f"{self._index} chunks, and the ending counts {chunks}")

    def _check_beginning(self) -> None:
        if self.text is not None and not self.lost and not self.text.startswith(self.given):
            self._fault("what was said until it was cancelled is another text")

    def _fault(self, what: str) -> None:
        self.wrong = self.wrong or what
