"""What is asked of several engines that stand in for each other."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from talksy.errors import ProviderFault


class Engine(Protocol):
    """What hears or speaks."""

    async def warm(self) -> None:
        """Loads what is needed."""
        ...

    async def ping(self) -> None:
        """Returns when it could do its work now."""
        ...


async def warm_all(engines: Sequence[Engine]) -> None:
    """Warms them side by side; raises what the first said where none can be."""
    told = await asyncio.gather(*(each.warm() for each in engines), return_exceptions=True)
    faults = [each for each in told if isinstance(each, BaseException)]
    for fault in faults:
        if len(faults) == len(told) or not isinstance(fault, ProviderFault):
            raise fault


async def ping_any(engines: Sequence[Engine]) -> None:
    """Returns when one of them is there; raises what the first said where none is."""
    faults: list[ProviderFault] = []
    for engine in engines:
        try:
            await engine.ping()
        except ProviderFault as fault:
            faults.append(fault)
        else:
            return
    raise faults[0]
