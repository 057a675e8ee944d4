"""Makes the attempts, one after another and several at a time, and tells what came of each."""

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Self

from talksy.errors import ToolFailed, ToolTimeout
from talksy.tools.sandbox import Sandbox, SandboxBounds
from tests.sandbox.attempts import ATTEMPTS, Attempt

BOUNDS = SandboxBounds(memory=64 << 20, cpu_seconds=1, output=1 << 18, children=4)
SECRET = "secret of the server: 42"


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    attempt: Attempt
    said: str

    @property
    def short(self) -> str:
        """What stopped it, in a few words."""
        return next((each for each in self.attempt.held if each in self.said), "").strip("'")

    @property
    def contained(self) -> bool:
        """It did not get through, and was stopped by what should stop it."""
        return "ESCAPED" not in self.said and any(each in self.said for each in self.attempt.held)


@dataclass(frozen=True)
class Report:
    """What came of all of them, and what held them in."""

    user: int
    layers: tuple[str, ...]
    missing: str | None
    outcomes: tuple[Outcome, ...]

    @classmethod
    def of(cls, told: Any) -> Self:
        """As another process told it."""
        said = [outcome["said"] for outcome in told["outcomes"]]
        outcomes = tuple(map(Outcome, ATTEMPTS, said))
        return cls(told["user"], tuple(told["layers"]), told["missing"], outcomes)


async def attempt_all() -> Report:
    """Makes every attempt in one sandbox."""
    os.environ["SECRET_OF_THE_SERVER"] = SECRET
    async with Sandbox(bounds=BOUNDS) as sandbox:
        outcomes = await asyncio.gather(*(_attempt(sandbox, each) for each in ATTEMPTS))
        return Report(os.geteuid(), tuple(sandbox.layers()), sandbox.missing, tuple(outcomes))


async def _attempt(sandbox: Sandbox, attempt: Attempt) -> Outcome:
    said = ""
    for code in attempt.codes:
        try:
            ran = await sandbox.python(code, seconds=attempt.seconds)
            said = f"{ran.output[:200]} {ran.value and ran.value[:200]} {ran.error} cut={ran.cut}"
        except (ToolFailed, ToolTimeout) as error:
            said = error.message
    return Outcome(attempt, said)
