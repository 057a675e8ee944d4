"""What goes on beside the turns of a node: their progress is stored, and the lost are found."""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from talksy.database.lane import Lane
from talksy.database.rows import TurnRow
from talksy.journal.keep import Keep
from talksy.journal.run import Run

TOGETHER = 200
"""So many turns are stored in one transaction: an ending waits for it, and its time is bounded."""


class Checkpoints:
    """How far turns have come, for whoever ends them should their node die."""

    def __init__(self, lane: Lane, keep: Keep) -> None:
        self._lane = lane
        self._keep = keep
        self._stored_at = 0.0

    async def store(self, runs: Iterable[Run], *, logged: bool) -> None:
        """Stores what is new; with ``logged``, where the log has it too, less often."""
        every = self._keep.logged_seconds if logged else 0
        if (now := monotonic()) - self._stored_at < every:
            return
        due = [run for run in runs if run.progress > run.stored and not run.lost]
        if not due:
            return
        for first in range(0, len(due), TOGETHER):
            some = due[first : first + TOGETHER]
            reached = [run.progress for run in some]
            await self._lane.checkpoint([run.checkpoint() for run in some])
            for run, progress in zip(some, reached, strict=True):
                run.stored = progress
        self._stored_at = now


class Strays:
    """Turns that run in our name and that nobody here knows of: nobody else will go on with them.

    The answer to the write that began one was lost, or the write came through long after it was
    given up, as on a server whose standby had to come back first.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._strange: set[str] = set()
        """What ran in this node's name at the last look, and was not known here."""

    async def look(self, knows: Callable[[str, bool], bool]) -> Sequence[TurnRow]:
        """What was found twice; ``knows`` is asked for an id, and whether it was taken over."""
        own = await self._lane.own()
        strange = {turn_id for turn_id, taken in own.items() if not knows(turn_id, taken)}
        # What was written a moment ago is about to be known.
        found, self._strange = strange & self._strange, strange
        rows = await self._lane.find_all(found) if found else ()
        return [
            row
            for row in rows
            if row.status == "running"
            and row.owner == self._lane.owner
            and not knows(row.id, row.taken)
        ]
