"""Tools of the tests: each call that is really made leaves a line in a file."""

import asyncio
from pathlib import Path

from talksy.tools import Caller, tool


@tool(policy="ask", category="custom")
async def pay(ledger: str, amount: int, caller: Caller) -> str:
    """Pays an amount, once a person has agreed.

    Args:
        ledger: The file that the payment is written to.
        amount: How much.
    """
    _note(ledger, caller)
    return f"paid {amount}"


@tool
async def brood(ledger: str, caller: Caller) -> str:
    """Thinks for a long time, and has an effect.

    Args:
        ledger: The file that it is written to.
    """
    _note(ledger, caller)
    await asyncio.sleep(25)
    return "nothing came of it"


def _note(ledger: str, caller: Caller) -> None:
    with Path(ledger).open("a", encoding="utf-8") as file:
        file.write(f"{caller.effect_id}\n")
