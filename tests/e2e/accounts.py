"""Accounts over REST, as any client makes them."""

import itertools
import os
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import jwt

from tests.server import DEFAULTS

PASSWORD = "Correct-Horse-7"
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Account:
    """A registered user with one family of tokens."""

    url: str
    id: str
    email: str
    token: str
    refresh_token: str

    @classmethod
    async def register(cls, url: str, email: str | None = None) -> Self:
        """A new account; every call makes another one."""
        email = email or f"user-{os.getpid()}-{next(_NUMBERS)}@example.com"
        return cls._read(url, await _post(url, "register", email))

    async def login(self) -> Self:
        """The same account with a family of tokens of its own."""
        return self._read(self.url, await _post(self.url, "login", self.email))

    async def logout(self) -> None:
        async with (
            aiohttp.ClientSession(self.url) as http,
            http.post("/auth/logout", json={"refreshToken": self.refresh_token}) as answer,
        ):
            assert answer.status == 204

    @classmethod
    def _read(cls, url: str, body: dict[str, Any]) -> Self:
        user = body["user"]
        return cls(url, user["id"], user["email"], body["accessToken"], body["refreshToken"])


def forged(token: str, secret: str = str(DEFAULTS["JWT_SECRET"]), **claims: object) -> str:
    """``token`` with other claims, signed again."""
    old = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**old, **claims}, secret, algorithm="HS256")


async def _post(url: str, verb: str, email: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(url) as http,
        http.post(f"/auth/{verb}", json={"email": email, "password": PASSWORD}) as answer,
    ):
        body = await answer.json()
        assert answer.status in (200, 201), body
        return dict(body)
