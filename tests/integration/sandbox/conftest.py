"""A sandbox, and a package of tools for it."""

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from talksy.tools.sandbox import Sandbox, SandboxBounds

SHOP = '''
"""Tools that nobody trusts."""

import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from talksy.errors import ToolFailed
from talksy.tools import tool

from .prices import PRICES


class Order(BaseModel):
    item: str
    count: int = 1


@tool
def total(order: Order, on: date) -> dict[str, Any]:
    """What an order costs.

    order: What is wanted.
    """
    return {"price": PRICES[order.item] * order.count, "on": on, "weekday": on.weekday()}


@tool(idempotent=True, timeout_ms=500)
def terms(name: str = "terms.txt") -> str:
    """The terms of the shop, or another of its files."""
    return (Path(__file__).parent / name).read_text()


@tool
def give(kind: str) -> Any:
    """Returns something odd."""
    deep: list[Any] = []
    if kind == "deep":
        for _ in range(100_000):
            deep = [deep]
    if kind == "told":
        raise ToolFailed("Nothing is left of that.")
    if kind == "half":
        raise ValueError("\\ud800")
    if kind == "long":
        return "x" * 2_000_000
    return {"nan": float("nan"), "set": {1}, "object": object(), "deep": deep}[kind]


@tool
def kinds(
    from_: float,
    to: Annotated[int, Field(ge=0)] = 3,
    way: Literal["up", "down"] | None = None,
    text: Annotated[str, StringConstraints(strip_whitespace=True)] = "",
) -> list[Any]:
    """Gives back what it was given."""
    return [from_, type(from_).__name__, to, way, text]


@tool
def wait(seconds: float) -> None:
    """Sleeps."""
    time.sleep(seconds)
'''


@pytest.fixture
def shop() -> Iterator[str]:
    """The path of a package, beside which there is a file that is not its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Who root becomes has to get there.
        folder.chmod(0o755)
        package = folder / "shop"
        package.mkdir()
        (package / "__init__.py").write_text(SHOP)
        (package / "prices.py").write_text("PRICES = {'tea': 3}\n")
        (package / "terms.txt").write_text("Pay first.")
        (folder / "secrets.txt").write_text("not for tools")
        yield str(package)


@pytest.fixture
async def sandbox(shop: str) -> AsyncIterator[Sandbox]:
    """One that is open, for the shop."""
    if sys.platform != "linux":
        pytest.skip("it holds on Linux alone")
    async with Sandbox([shop], SandboxBounds(children=4)) as opened:
        yield opened
