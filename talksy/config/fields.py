"""The kinds of values a setting may have, and how each is read from text."""

import json
import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from talksy.config.database import check_database
from talksy.config.redis import check_redis

_DAY_MS = 86_400_000
_PORTS = {"http": 80, "https": 443}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MOST_PHRASES = 100
_LEVELS = {"warn": "warning", "log": "info", "verbose": "debug", "fatal": "critical"}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _level(value: Any) -> Any:
    # The names of the NestJS version are understood.
    value = _lower(value)
    return _LEVELS.get(value, value)


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _seconds(value: str | int) -> int:
    match = re.fullmatch(r"(\d{1,9})\s*([smhdw]?)", str(value).lower())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= 366 * 86_400:
        raise ValueError("is not a time from 1s to 366d, such as 15m, 12h or 7d")
    return seconds


def _origin(text: str) -> str:
    """The origin as a browser writes it: lower case, no port where it is the scheme's own."""
    if text == "*":
        return text
    url = urlsplit(text)
    port = url.port
    if not (url.scheme and url.hostname) or url.path not in ("", "/") or "@" in url.netloc:
        raise ValueError
    if url.query or url.fragment:
        raise ValueError
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[url.scheme]) else "")


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        origins = tuple(_origin(value) for value in values)
    except (ValueError, KeyError):
        raise ValueError(
            "is not a list of origins such as https://app.example.com,https://example.com "
            "(scheme, host and port, no path), nor *"
        ) from None
    if "*" in origins and len(origins) > 1:
        raise ValueError("has * beside other origins: keep one or the other")
    return origins


def _networks(value: Any) -> Any:
    try:
        return tuple(ip_network(part) for part in _parts(value))
    except ValueError:
        raise ValueError("is not a list of networks such as 10.0.0.0/8,192.168.1.7") from None


def _url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in _PORTS or not url.hostname or url.query or url.fragment:
        raise ValueError("is not a URL such as http://localhost:8000/v1")
    return value.rstrip("/")


def _host(value: str) -> str:
    if urlsplit(value).path not in ("", "/"):
        raise ValueError("has a path: leave it out, the API's own is added to it")
    return _url(value)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", value):
        raise ValueError("is not 1 to 32 of a-z, 0-9 and -, such as node1")
    return value


def _models(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name as ``vendor:model`` or either alone; a vendor may be written in capitals."""
    read = []
    for name in names:
        vendor, colon, model = name.partition(":")
        if not vendor or (colon and not model) or not name.isprintable() or " " in name:
            raise ValueError("is not a list such as openai,groq:openai/gpt-oss-20b,mock")
        read.append(f"{vendor.lower()}:{model}" if colon else name)
    if len(set(read)) < len(read):
        raise ValueError("names the same model twice")
    return tuple(read)


def _objects(example: str) -> Callable[[Any], Any]:
    """Reads a JSON object of objects; ``example`` shows one."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        fault = f"is not a JSON object such as {example}"
        try:
            objects = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(fault) from None
        if not isinstance(objects, dict) or not all(isinstance(o, dict) for o in objects.values()):
            raise ValueError(fault)
        return objects

    return read


def _modules(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError("is not a list of Python modules such as my_tools,shop.tools")
    return names


def _prompt(value: str) -> str:
    """The text itself, or that of the file it names."""
    path = Path(value)
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        if len(value.split()) == 1:
            raise ValueError(f"names a file that cannot be read: {_reason(error)}") from None
    if re.fullmatch(r"\S*/\S*|\S+\.(txt|md)", value):
        raise ValueError("looks like a file's name, but there is no such file")
    return value


def _file(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise ValueError("is no file")
    if not os.access(path, os.R_OK):
        raise ValueError("cannot be read by the user that Talksy runs as")
    return path


def _grammar(value: Any) -> Any:
    """The file of a grammar, or phrases by what is said, each with its threshold or None."""
    if not isinstance(value, str):
        return value
    try:
        path = Path(value).expanduser()
        named = path.is_file()
    except (OSError, RuntimeError):  # it is too long for a name, or of nobody's home
        named = False
    if named:
        return _jsgf(path)
    parts = _parts(value)
    phrases = dict(_phrase(part) for part in parts)
    if not 0 < len(phrases) <= _MOST_PHRASES:
        raise ValueError(f"has {len(parts)} phrases: it may have from 1 to {_MOST_PHRASES}")
    return phrases


def _jsgf(path: Path) -> Path:
    try:
        text = _file(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ValueError(f"names a file that cannot be read: {_reason(error)}") from None
    if "#JSGF" not in text:
        raise ValueError("names a file without a grammar: one begins with #JSGF V1.0;")
    return path


def _phrase(part: str) -> tuple[str, float | None]:
    """``go away`` or ``go away /1e-12/``."""
    match = re.fullmatch(r"([a-z' -]{1,100}?)\s*(?:/(\d(?:\.\d+)?e-\d{1,3})/)?", part.lower())
    if match is None or not any(map(str.isalpha, match[1])):
        raise ValueError(
            "is neither a file with a grammar (JSGF) nor a list of English phrases such as "
            "lights on,go away /1e-12/"
        )
    return " ".join(match[1].split()), float(match[2]) if match[2] else None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"


Milliseconds = Annotated[int, Field(ge=1, le=30 * _DAY_MS)]
MillisecondsOrOff = Annotated[int, Field(ge=0, le=30 * _DAY_MS)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Bytes = Annotated[int, Field(ge=1_000, le=100_000_000)]

Environment = Annotated[Literal["development", "production", "test"], BeforeValidator(_lower)]
ModelNames = Annotated[tuple[str, ...], BeforeValidator(_parts), AfterValidator(_models)]
OnFailure = Annotated[Literal["reset", "fail"], BeforeValidator(_lower)]
Options = Annotated[
    dict[str, dict[str, Any]], BeforeValidator(_objects('{"echo": {"delay_ms": 5}}'))
]
Servers = Annotated[
    dict[str, dict[str, Any]],
    BeforeValidator(_objects('{"shop": {"url": "https://mcp.example.com"}}')),
]
Modules = Annotated[tuple[str, ...], BeforeValidator(_parts), AfterValidator(_modules)]
Parts = Annotated[tuple[str, ...], BeforeValidator(_parts)]
LogFormat = Annotated[Literal["json", "text"], BeforeValidator(_lower)]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_level)
]
Seconds = Annotated[int, BeforeValidator(_seconds)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_parts), AfterValidator(_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_parts)]
Url = Annotated[str, AfterValidator(_url)]
DatabaseUrl = Annotated[str, AfterValidator(check_database)]
RedisUrl = Annotated[str, AfterValidator(check_redis)]
Host = Annotated[str, AfterValidator(_host)]
Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, AfterValidator(_prompt)]
Folder = Annotated[Path, AfterValidator(Path.expanduser)]
File = Annotated[Path, AfterValidator(_file)]
Grammar = Annotated[Path | dict[str, float | None], BeforeValidator(_grammar)]
