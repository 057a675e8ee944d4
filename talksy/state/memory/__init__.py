"""The shared state of a single process: it is as old as the process."""

from talksy.state.memory.bus import MemoryBus
from talksy.state.memory.hub import MemoryHub
from talksy.state.memory.log import MemoryLog
from talksy.state.memory.slots import MemorySlots
from talksy.state.memory.windows import MemoryWindows

__all__ = ["MemoryBus", "MemoryHub", "MemoryLog", "MemorySlots", "MemoryWindows"]
