"""Events as lines of the log, and back. A line is one JSON array and has no newline in it.

``["s", messageId]`` begins a streamed turn, ``["c", index, content]`` is a chunk, ``["r", reason]``
a reset, ``["a", {…}]`` asks for a tool and ``["d", {…}]`` says what came of it; ``["e", {…}]`` is
the ending, the last there is. Lines of another kind than these are of a
later version: they raise ``ValueError``, and the database answers instead.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, assert_never

import orjson

from talksy.events import Chunk, Ending, Event, Started, StreamReset, ToolAsked, ToolDone
from talksy.messages import Usage, size

ENDING = b'["e"'
"""How the line of an ending begins."""


def line_of(event: Event) -> bytes:
    """An event as the log keeps it."""
    match event:
        case Chunk(content, index):
            return orjson.dumps(["c", index, content])
        case Started(message_id):
            return orjson.dumps(["s", message_id])
        case StreamReset(reason):
            return orjson.dumps(["r", reason])
        case ToolAsked():
            return orjson.dumps(["a", asdict(event)])
        case ToolDone():
            return orjson.dumps(["d", asdict(event)])
        case _:
            assert_never(event)


def event_of(line: bytes) -> Event:
    """What ``line_of`` was given. Raises ``ValueError``."""
    match orjson.loads(line):
        case ["c", int(index), str(content)]:
            return Chunk(content, index)
        case ["s", str(message_id)]:
            return Started(message_id)
        case ["r", ("provider_unavailable" | "provider_timeout") as reason]:
            return StreamReset(reason)
        case [("a" | "d") as kind, dict() as told]:
            try:
                return ToolAsked(**told) if kind == "a" else ToolDone(**told)
            except TypeError as error:
                raise ValueError("this event is of another version") from error
    raise ValueError("this line of the log is of another version")


def line_of_ending(ending: Ending, total: int, *, text: bool) -> bytes:
    """An ending behind ``total`` events; ``text`` says that they do not give its text."""
    told = asdict(ending)
    if not text:
        del told["text"]
    return orjson.dumps(["e", {"total": total, **told}])


def ending_of_line(line: bytes) -> tuple[Ending, int, bool]:
    """What ``line_of_ending`` was given. Raises ``ValueError``."""
    match orjson.loads(line):
        case ["e", {"total": int(total), **told}]:
            try:
                usage: Any = told.get("usage")
                ending: Any = {"text": None, **told, "usage": Usage(**usage) if usage else None}
                return Ending(**ending), total, "text" in told
            except TypeError as error:
                raise ValueError("this ending is of another version") from error
    raise ValueError("this line of the log is of another version")


def length_of(event: Event) -> int:
    """What an event counts of the bytes that a turn may have."""
    if isinstance(event, Chunk):
        return size(event.content)
    return len(line_of(event)) if isinstance(event, ToolAsked | ToolDone) else 0


def text_of(events: Sequence[Event]) -> tuple[str, int]:
    """What was given since the answer began, or began again, and in how many chunks."""
    given: list[str] = []
    for event in events:
        if isinstance(event, Chunk):
            given.append(event.content)
        elif isinstance(event, StreamReset):
            given.clear()
    return "".join(given), len(given)
