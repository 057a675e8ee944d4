"""Turns that another node writes, as far as somebody reads them here.

Their events come by nudges. Whatever may have been missed is read from the log: after a gap, a bare
nudge, a subscription that was made anew, or silence; and where the log has nothing to say the
turn's row is asked, which knows how it ended.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from talksy.database.rows import TurnRow
from talksy.database.turns import TurnRows
from talksy.events import Ending, Event
from talksy.journal.lines import ENDING, ending_of_line, event_of, text_of
from talksy.journal.mirror import Mirror, ending_of
from talksy.state import READ_EVENTS, Away, Nudge, Place, TurnLog

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
QUIET_SECONDS = 2.0
"""Without news for so long: the log is read."""
SILENT_SECONDS = 4.0
"""Without news for so long, and nothing new in the log either: the row is asked."""
AWAY_SECONDS = 10.0
"""The same where the log is away."""
ASK_SECONDS = 1.0
"""The rows are asked no oftener."""
LINGER_SECONDS = 15.0
"""How long a turn is followed after its last reader, who may be on his way back."""
TURNS = 64
"""So many turns are read in one trip."""


@dataclass(eq=False, slots=True)
class Followed:
    """One turn of another node."""

    mirror: Mirror
    heard_at: float
    """When there was news, by the loop's clock."""
    read_at: float = 0.0
    """When the log was read."""
    left_at: float | None = None
    """When its last reader was found gone."""
    due: bool = True
    """The log has to be read."""
    ask: bool = False
    """The row has to be asked."""
    adopted: bool = False
    """It was this node's own: it is followed to its end, whoever reads it."""
    waiting: int = 0
    """How many wait for the ending alone."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def quiet_since(self) -> float:
        return max(self.heard_at, self.read_at)


@dataclass(slots=True)
class Heard:
    """What came, counted."""

    nudges: int = 0
    reads: int = 0
    gaps: int = 0
    """Nudges that did not continue what was there."""
    asked: int = 0
    """Endings that the row told."""


class Follower:
    """What this node reads of other nodes' turns."""

    def __init__(
        self, rows: TurnRows, turn_log: TurnLog | None, ended: Callable[[Mirror], None]
    ) -> None:
        """``ended`` is called when the mirror of a turn has got its ending."""
        self._rows = rows
        self._log = turn_log
        self._on_end = ended
        self._turns: dict[str, Followed] = {}
        self._sessions: dict[str, bool] = {}
        """The sessions whose news are wanted, and whether they are heard."""
        self._news = asyncio.Event()
        self._asked_at = 0.0
        self.away = False
        """The log did not answer the last time."""
        self.counts = Heard()

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def size(self) -> int:
        """About what the followed turns take in memory."""
        return sum(followed.mirror.bytes for followed in self._turns.values())

    def open(self, row: TurnRow) -> Mirror:
        """The mirror of a turn that another node writes, as it comes to be filled."""
        followed = self._turns.get(row.id)
        if followed is None:
            followed = self._follow(Mirror(row))
        followed.left_at = None
        return followed.mirror

    def adopt(self, mirror: Mirror) -> None:
        """Goes on with a mirror whose turn was taken from this node: the ending is the other's."""
        self._follow(mirror).adopted = True

    def keep(self, mirror: Mirror) -> None:
        """Goes on with a mirror whose turn nobody writes now, for as long as it is read."""
        self._follow(mirror)

    def release(self, turn_id: str) -> Mirror | None:
        """The mirror of a turn that this node writes from here on, if it was followed."""
        followed = self._turns.get(turn_id)
        if followed is None or followed.mirror.end is not None:
            return None
        del self._turns[turn_id]
        return followed.mirror

    def _follow(self, mirror: Mirror) -> Followed:
        followed = Followed(mirror, heard_at=asyncio.get_running_loop().time())
        self._turns[mirror.turn_id] = followed
        if self._log is not None:
            self._sessions.setdefault(mirror.session_id, False)
        self._news.set()
        return followed

    def ask(self, turn_id: str) -> None:
        """The turn may have ended: its row is asked without waiting for silence."""
        if followed := self._turns.get(turn_id):
            followed.ask = True
            self._news.set()

    async def ended(self, turn_id: str, seconds: float) -> Ending | None:
        """The ending of a followed turn; None where it did not come in time."""
        followed = self._turns.get(turn_id)
        if followed is None:
            return None
        followed.waiting += 1
        try:
            await asyncio.wait_for(followed.ended.wait(), seconds)
        except TimeoutError:
            return None
        finally:
            followed.waiting -= 1
        return followed.mirror.end

    async def former_ended(self, row: TurnRow, seconds: float) -> None:
        """Returns when what is read of the session's earlier turns has its ending, which their rows
        have had since this one began; no later than so long.
        """
        former = [
            followed
            for followed in self._turns.values()
            if followed.mirror.session_id == row.session_id
            and followed.mirror.turn_id != row.id
            and followed.mirror.end is None
            and followed.mirror.readers
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for followed in former:
                    await followed.ended.wait()

    async def recall(self, row: TurnRow) -> Mirror | None:
        """An ended turn with all its events; None where the log does not have them any more."""
        if self._log is None:
            return None
        mirror = Mirror(row)
        try:
            while len(mirror.events) < row.events:
                place = Place(row.session_id, row.id, len(mirror.events))
                (lines,) = await self._log.read([place])
                events = [event_of(line) for line in lines or () if not line.startswith(ENDING)]
                if not events:
                    return None
                mirror.extend(events)
        except (Away, ValueError):
            return None
        mirror.finish(ending_of(row), row.events)
        return mirror

    def heard_again(self) -> None:
        """Nudges may have been missed, and are heard again: all logs are read."""
        for followed in self._turns.values():
            followed.due = True
        self._news.set()

    def stranded(self) -> list[Mirror]:
        """What is read here and of which no news can come while the database is away, too."""
        now = asyncio.get_running_loop().time()
        return [
            followed.mirror
            for followed in self._turns.values()
            if followed.mirror.readers
            and followed.mirror.end is None
            and (self.away or self._log is None)
            and now - followed.heard_at > SILENT_SECONDS
        ]

    def settle(self, turn_id: str, events: Sequence[Event], ending: Ending, total: int) -> None:
        """The turn was ended here, for another node."""
        followed = self._turns.get(turn_id)
        if followed is not None and followed.mirror.end is None:
            followed.mirror.extend(events[len(followed.mirror.events) : total])
            self._finish(followed, ending, total)

    # ---- news

    def _hear(self, nudge: Nudge) -> None:
        followed = self._turns.get(nudge.turn_id)
        if followed is None or followed.mirror.end is not None:
            return
        self.counts.nudges += 1
        whole = bool(nudge.events) and self._feed(followed, nudge.first, nudge.events)
        if not whole:
            self.counts.gaps += 1
            followed.due = True
            self._news.set()

    def _feed(self, followed: Followed, first: int, lines: Sequence[bytes]) -> bool:
        """Takes what is new of the lines, event ``first`` the first of them.

        Returns False where something is missing before them.
        """
        mirror = followed.mirror
        have = len(mirror.events)
        try:
            final = ending_of_line(lines[-1]) if lines[-1].startswith(ENDING) else None
            events = lines[:-1] if final else lines
            new = [event_of(line) for line in events[max(0, have - first) :]]
        except (ValueError, KeyError):
            # Written by a later version: the row has what counts.
            log.warning("log_unreadable", turn_id=mirror.turn_id)
            followed.ask = True
            return True
        if first > have:
            return False
        followed.heard_at = asyncio.get_running_loop().time()
        if new:
            mirror.extend(new)
        if final is not None:
            return self._conclude(followed, *final)
        return True

    def _conclude(self, followed: Followed, ending: Ending, total: int, told: bool) -> bool:
        """The log has the ending; ``told`` with its text, else the events give it."""
        mirror = followed.mirror
        if not told:
            if len(mirror.events) < total:
                return False
            text, _ = text_of(mirror.events[:total])
            ending = replace(ending, text=text)
        self._finish(followed, ending, total)
        return True

    def _finish(self, followed: Followed, ending: Ending, total: int) -> None:
        if followed.mirror.end is None:
            followed.mirror.finish(ending, total)
            followed.ended.set()
            self._on_end(followed.mirror)

    # ---- what goes on beside

    async def run(self) -> None:
        """Reads and asks until it is cancelled. Costs nothing where nothing is followed."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_SECONDS if self._turns else None)
            self._news.clear()
            try:
                await self._listen()
                await self._read()
                await self._ask()
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                log.warning("follow_failed", error=type(error).__name__)
                await asyncio.sleep(LOOK_SECONDS)
            self._part()

    async def _listen(self) -> None:
        """Hears the news of all sessions that are followed, before their logs are read."""
        if self._log is None:
            return
        deaf = [session_id for session_id, heard in self._sessions.items() if not heard]
        if not deaf:
            return
        turn_log = self._log
        answers = await asyncio.gather(
            *(turn_log.follow(session_id, self._hear) for session_id in deaf),
            return_exceptions=True,
        )
        for session_id, answer in zip(deaf, answers, strict=True):
            if answer is None and session_id in self._sessions:
                self._sessions[session_id] = True
            elif isinstance(answer, BaseException) and not isinstance(answer, Away):
                raise answer
        # What came before the answer is in the log.
        heard = {s for s, answer in zip(deaf, answers, strict=True) if answer is None}
        for followed in self._turns.values():
            if followed.mirror.session_id in heard:
                followed.due = True

    async def _read(self) -> None:
        if self._log is None:
            return
        now = asyncio.get_running_loop().time()
        due = [
            followed
            for followed in self._turns.values()
            if followed.mirror.end is None
            and (followed.due or now - followed.quiet_since > QUIET_SECONDS)
        ]
        due, more = due[:TURNS], due[TURNS:]
        if not due:
            return
        # An answer belongs where it was asked from: nudges go on meanwhile.
        firsts = [len(followed.mirror.events) for followed in due]
        places = [
            Place(followed.mirror.session_id, followed.mirror.turn_id, first)
            for followed, first in zip(due, firsts, strict=True)
        ]
        for followed in due:
            followed.due = False
        try:
            answers = await self._log.read(places)
        except Away:
            self.away = True
            for followed in due:
                followed.due = True
            return
        self.away = False
        self.counts.reads += len(due)
        for followed, first, lines in zip(due, firsts, answers, strict=True):
            followed.read_at = now
            if lines is None:
                # Forgotten, or not begun: whoever knows is the database.
                followed.ask = True
            elif lines and followed.mirror.end is None:
                if not self._feed(followed, first, lines):
                    followed.ask = True
                elif len(lines) >= READ_EVENTS:
                    followed.due = True
        if more or any(followed.due for followed in due):
            self._news.set()

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._asked_at < ASK_SECONDS:
            return
        unsure = [
            followed.mirror.turn_id
            for followed in self._turns.values()
            if followed.mirror.end is None and self._unsure(followed, now)
        ]
        if not unsure:
            return
        self._asked_at = now
        for row in await self._rows.find_all(unsure):
            followed = self._turns.get(row.id)
            if followed is None or followed.mirror.end is not None:
                continue
            followed.ask = False
            if row.ended:
                self.counts.asked += 1
                self._finish(followed, ending_of(row), row.events)

    def _unsure(self, followed: Followed, now: float) -> bool:
        """Whether only the row can tell how the turn stands."""
        if followed.ask or followed.adopted or followed.waiting or self._log is None:
            return True
        if self.away:
            return now - followed.heard_at > AWAY_SECONDS
        return now - followed.heard_at > SILENT_SECONDS and followed.read_at > followed.heard_at

    def _part(self) -> None:
        """Lets go of what nobody reads any more."""
        now = asyncio.get_running_loop().time()
        for turn_id, followed in list(self._turns.items()):
            kept = followed.adopted and followed.mirror.end is None
            if followed.mirror.readers or followed.waiting or kept:
                followed.left_at = None
            elif followed.left_at is None:
                followed.left_at = now
            elif followed.mirror.end is not None or now - followed.left_at > LINGER_SECONDS:
                del self._turns[turn_id]
        wanted = {
            followed.mirror.session_id
            for followed in self._turns.values()
            if followed.mirror.end is None
        }
        for session_id in [one for one in self._sessions if one not in wanted]:
            del self._sessions[session_id]
            if self._log is not None:
                self._log.unfollow(session_id)
