"""Accounts for those who are not here to measure how one gets one."""

import http.client
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent
import orjson
from gevent.lock import BoundedSemaphore

from loadtests.line import Hangup, Refused
from loadtests.run import RUN

PASSWORD = "Correct-Horse-7"
SECONDS = 30.0
_SPARE_SECONDS = 120.0
"""So long before its end a token is replaced."""


def new_email() -> str:
    """One that nobody has had: on no machine, in no process of it and in no run before."""
    return f"load-{uuid.uuid4().hex}@example.com"


def asked(
    url: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    token: str = "",
    seconds: float = SECONDS,
) -> Any:
    """The JSON (or text) that the server answers, without a place in the statistics.

    Raises ``Refused``, ``Hangup`` or ``OSError``.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    line = make(parts.hostname or "", parts.port, timeout=seconds)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        text = None if body is None else orjson.dumps(body)
        line.request(method, parts.path.rstrip("/") + path, text, headers)
        answer = line.getresponse()
        told = answer.read()
    except http.client.HTTPException as error:
        raise Hangup(f"{type(error).__name__}: {error}") from error
    finally:
        line.close()
    if answer.status >= http.client.BAD_REQUEST:
        raise _refused(answer.status, told)
    return _parsed(told)


def _parsed(told: bytes) -> Any:
    try:
        return orjson.loads(told) if told else None
    except ValueError:
        return told.decode(errors="replace")


def _refused(status: int, told: bytes) -> Refused:
    problem = _parsed(told)
    if isinstance(problem, dict) and "code" in problem:
        return Refused(str(problem["code"]), str(problem.get("message", "")))
    return Refused(f"HTTP {status}", str(problem)[:100])


class Account:
    """An account and a token of it that is always good for a while."""

    def __init__(self, url: str, grant: Mapping[str, Any]) -> None:
        self._url = url
        self._lock = BoundedSemaphore()
        self._access = ""
        self._refresh = ""
        self._until = 0.0
        self._take(grant)

    @classmethod
    def registered(cls, url: str) -> "Account":
        """A new one. Raises ``Refused``, ``Hangup`` or ``OSError``."""
        body = {"email": new_email(), "password": PASSWORD}
        while True:
            try:
                return cls(url, asked(url, "POST", "/auth/register", body))
            except Refused as error:
                if error.code != "OVERLOADED":
                    raise
                gevent.sleep(1)  # others have their passwords worked on

    @classmethod
    def given(cls, url: str, token: str) -> "Account":
        """One that somebody else has made, for as long as its token is good."""
        return cls(url, {"accessToken": token, "refreshToken": "", "expiresIn": 10**9})

    def token(self) -> str:
        """An access token. Raises as ``registered``."""
        if self._refresh and time.monotonic() > self._until:
            with self._lock:
                if time.monotonic() > self._until:
                    body = {"refreshToken": self._refresh}
                    self._take(asked(self._url, "POST", "/auth/refresh", body))
        return self._access

    def _take(self, grant: Mapping[str, Any]) -> None:
        self._access = str(grant["accessToken"])
        self._refresh = str(grant["refreshToken"])
        lasts = float(grant["expiresIn"])
        self._until = time.monotonic() + max(lasts - _SPARE_SECONDS, lasts / 2)


def registered(url: str) -> Account:
    """As ``Account.registered``; a limit that was left too low ends the run."""
    try:
        return Account.registered(url)
    except Refused as error:
        if error.code == "RATE_LIMITED":
            RUN.refuse(error, "AUTH_REGISTER_PER_MINUTE")
        raise


class Pool:
    """Accounts that several users share, made as they come."""

    def __init__(self) -> None:
        self._lock = BoundedSemaphore()
        self._accounts: list[Account] = []
        self._taken = 0

    def empty(self) -> None:
        """Forgets all: for a run against another server."""
        self._accounts, self._taken = [], 0

    def take(self, url: str, share: int, tokens: tuple[str, ...] = ()) -> Account:
        """The account of one more user; ``share`` of them have it together.

        Raises as ``Account.registered``.
        """
        with self._lock:  # one at a time: each costs the server a fifth of a second of a core
            number, self._taken = self._taken, self._taken + 1
            if tokens:
                return Account.given(url, tokens[number % len(tokens)])
            if number // share >= len(self._accounts):
                self._accounts.append(registered(url))
            return self._accounts[-1]


POOL = Pool()
