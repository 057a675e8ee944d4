"""The request a socket came by, as python-socketio's handlers know it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from talksy.transports.requests import Ask


class Environ(Mapping[str, Any]):
    """A WSGI-like environment: one bytes object at rest, read when it is asked.

    aiohttp's own request takes some 6 KB for as long as it is held.
    """

    __slots__ = ("_raw", "_remote")

    def __init__(self, ask: Ask, keep: Collection[str] | None = None) -> None:
        """``keep``: the only headers that will be asked for, in small letters; None for all."""
        lines = [f"{ask.method} {ask.raw_path} HTTP/1.1".encode("utf-8", "surrogateescape")]
        lines += [
            b"%b:%b" % (name, value)
            for name, value in ask.raw_headers
            if keep is None or name.decode("latin-1").lower() in keep
        ]
        self._raw = b"\n".join(lines)
        self._remote = ask.remote or ""

    def copy(self) -> dict[str, Any]:
        """All of it, for who asks more than once."""
        first, *lines = self._raw.decode("utf-8", "surrogateescape").split("\n")
        method, target, protocol = first.split(" ")
        path, _, query = target.partition("?")
        found: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "RAW_URI": target,
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "SERVER_PROTOCOL": protocol,
            "REMOTE_ADDR": self._remote,
        }
        for line in lines:
            name, _, value = line.partition(":")
            name = name.upper().replace("-", "_")
            key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
            found[key] = f"{found[key]},{value.strip()}" if key in found else value.strip()
        found["wsgi.url_scheme"] = found.get("HTTP_X_FORWARDED_PROTO", "http")
        return found

    def __getitem__(self, key: str) -> Any:
        return self.copy()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())
