"""microWakeWord: a small network for each phrase, run on the event loop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from talksy.ai.native import lacking
from talksy.ai.wake.base import Wake, WakeDetector
from talksy.audio import IN_RATE, Carry
from talksy.errors import ValidationError

if TYPE_CHECKING:
    from pymicro_wakeword import MicroWakeWord

PHRASES = {
    "alexa": "alexa",
    "hey jarvis": "hey_jarvis",
    "hey mycroft": "hey_mycroft",
    "okay nabu": "okay_nabu",
}
"""What it can listen for, with the networks that the library brings."""
_STEP_MS = 10
_LEAST = 0.5
"""The lowest likelihood that counts, however sensitive it is to be."""
_SAME_MS = 1_000
"""It stays likely for a while: what follows within this time is the same wake."""


class MicroWake:
    """A ``WakeEngine``: 25 µs for 10 ms. It hears a phrase about 0.1 s after its end."""

    name = "micro"

    def knows(self, phrase: str) -> bool:
        """As ``WakeEngine.knows``."""
        return phrase in PHRASES

    async def warm(self) -> None:
        """As ``WakeEngine.warm``: NumPy and TensorFlow Lite, 0.2 s and 30 MB."""
        if find_spec("pymicro_wakeword") is None:
            raise lacking(self.name, "pymicro-wakeword")
        await asyncio.to_thread(import_module, "pymicro_wakeword")

    @asynccontextmanager
    async def listen(self, phrase: str, sensitivity: float) -> AsyncGenerator[WakeDetector]:
        """As ``WakeEngine.listen``. 0.5 is as sure as the network's makers want it to be."""
        if phrase not in PHRASES:
            known = ", ".join(PHRASES)
            fault = f"is not known to the engine micro: one of {known} is"
            raise ValidationError(f"phrase {fault}", faults=[("phrase", fault)])
        await self.warm()
        from pymicro_wakeword import MicroWakeWord, Model

        network = await asyncio.to_thread(MicroWakeWord.from_builtin, Model(PHRASES[phrase]))
        try:
            yield _Micro(phrase, network, sensitivity)
        finally:
            network.close()

    async def close(self) -> None:
        """There is nothing to end."""


class _Micro:
    def __init__(self, phrase: str, network: "MicroWakeWord", sensitivity: float) -> None:
        from pymicro_wakeword import MicroWakeWordFeatures

        self._phrase = phrase
        self._network = network
        # Each step of 0.5 makes its doubts ten times as large, or as small.
        doubt = (1 - network.probability_cutoff) * 10 ** (2 * sensitivity - 1)
        self._cutoff = max(_LEAST, 1 - doubt)
        self._features = MicroWakeWordFeatures()
        self._carry = Carry(IN_RATE * _STEP_MS // 1_000)
        self._ms = 0
        self._last = -_SAME_MS

    def hear(self, pcm: bytes) -> list[Wake]:
        wakes = []
        for step in self._carry.cut(pcm):
            self._ms += _STEP_MS
            for features in self._features.process_streaming(step):
                likely = self._network.process_streaming_prob(features) or 0.0
                if likely <= self._cutoff:
                    continue
                if self._ms - self._last >= _SAME_MS:
                    wakes.append(Wake(self._phrase, likely, self._ms))
                self._last = self._ms
        return wakes

    async def settle(self) -> list[Wake]:
        return []

    async def finish(self) -> list[Wake]:
        return []
