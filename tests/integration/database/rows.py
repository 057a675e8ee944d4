"""Messages and turns for tests of the lane."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Admission, Draft, Lane
from talksy.database.rows import TurnRow
from talksy.events import Ending, Reason

NOW = 1_700_000_000_000


@dataclass
class Story:
    """One session, told from its lane."""

    database: Database
    lane: Lane
    history: History
    session_id: str = "ses_1"
    now: int = NOW

    async def say(self, message_id: str, **options: Any) -> Admission:
        """Admits a message whose text is its id."""
        self.now += 1
        draft = Draft(
            session_id=self.session_id,
            message_id=message_id,
            text=options.pop("text", message_id),
            streamed=options.pop("streamed", True),
            **options,
        )
        return await self.lane.admit(draft, self.now)

    async def start(self, message_id: str, **options: Any) -> TurnRow:
        """Admits a message whose turn starts at once."""
        started = (await self.say(message_id, **options)).started
        assert started is not None
        return started

    async def end(
        self, turn: TurnRow, reason: Reason = "completed", text: str | None = None
    ) -> TurnRow | None:
        """Ends a turn; returns the one that starts."""
        self.now += 1
        answer = f"re {turn.message_id}" if text is None else text
        ending = Ending(reason, answer, chunks=1, ended_at=self.now)
        finished = await self.lane.finish(turn, ending, events=2)
        assert finished.won
        return finished.next

    async def texts(self) -> Sequence[str]:
        """History."""
        said = await self.history.read(self.session_id, 100)
        assert said is not None
        return [message.content for message in said]

    async def context(self, message_id: str, limit: int = 100) -> Sequence[str]:
        """What a model is given to answer a message."""
        said = await self.history.context(self.session_id, message_id, limit)
        return [message.content for message in said]
