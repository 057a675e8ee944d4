"""One line an event, as JSON or text: ours and the libraries', without secrets or transcripts."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal, TextIO

import structlog

from talksy.ids import new_id

HIDDEN = "[hidden]"


class Served:
    """What the lines of an event's service have in common. The number is made when it is asked."""

    __slots__ = ("_number", "session_id")

    def __init__(self, session_id: str | None) -> None:
        self.session_id = session_id
        self._number: str | None = None

    @property
    def request_id(self) -> str:
        """The number under which the client is told of a failure."""
        if self._number is None:
            self._number = new_id("req")
        return self._number


serving: ContextVar[Served | None] = ContextVar("serving", default=None)
"""The event that is being served: binding words for each line costs more than serving most."""


def tell_served(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Adds what is being served to a line."""
    if (served := serving.get()) is not None:
        line.setdefault("request_id", served.request_id)
        line.setdefault("session_id", served.session_id)
    return line


_SECRET = frozenset(
    {"apikey", "audio", "authorization", "bearer", "content", "cookie", "jwt", "key", "password"}
    | {"prompt", "secret", "text", "token", "transcript"}
)
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def hide(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides what stands under a name like ``token``, ``accessToken`` or ``password_hash``.

    The second line of defence: the first is not to log it. Numbers are let through, so that tokens
    and characters can be counted.
    """
    for name, value in line.items():
        if name not in ("event", "exc_info"):
            line[name] = _hidden(name, value)
    return line


def _hidden(name: str, value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if _names_secret(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", inner) for inner in value]
    return value


@lru_cache(maxsize=1_000)
def _names_secret(name: str) -> bool:
    return not _SECRET.isdisjoint(part.lower() for part in _PARTS.findall(name))


def setup_logs(
    level: str, layout: Literal["json", "text"], stream: TextIO | None = None
) -> logging.Handler:
    """Sends every log line of this process to ``stream``, stdout by default, and returns the way.

    Ours are let through from ``level`` on, such as ``info``; those of libraries from warning on,
    whatever ``level`` says: the Socket.IO and HTTP libraries write payloads and addresses below it.
    """
    stream = stream or sys.stdout
    limit = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        tell_served,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(limit),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    way = logging.StreamHandler(stream)
    way.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(layout, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [way]
    root.setLevel(max(limit, logging.WARNING))
    logging.getLogger("talksy").setLevel(limit)
    logging.captureWarnings(True)
    return way


def _renderers(layout: str, *, colors: bool) -> list[structlog.typing.Processor]:
    # Both would show the local variables of each frame by default, and so passwords and messages.
    if layout == "text":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]
