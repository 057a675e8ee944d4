"""A message that asks for an answer, written or heard: whether it may be said, and its receipt."""

from collections.abc import Callable, Collection

from talksy.database.lane import Draft, Lane
from talksy.errors import PayloadTooLarge, RateLimited, ServerDraining, ValidationError
from talksy.gateway.budgets import Budgets
from talksy.gateway.connection import Connection
from talksy.gateway.presence import Presence
from talksy.gateway.requests import Receipt, Rules, Say
from talksy.gateway.turns import Turns
from talksy.gateway.voice import Voices
from talksy.ids import new_id
from talksy.sessions import Session, Sessions


class Saying:
    """What is said on this node."""

    def __init__(
        self,
        *,
        lane: Lane,
        turns: Turns,
        presence: Presence,
        sessions: Sessions,
        budgets: Budgets,
        models: Collection[str],
        rules: Rules,
        voices: Callable[[], Voices],
        draining: Callable[[], bool],
    ) -> None:
        """``models`` are those that a message may ask for, the usual one first; ``voices`` raises
        ``ProviderUnavailable`` where nobody can be spoken to; ``draining`` is whether nothing is
        taken in any more.
        """
        self._lane = lane
        self._turns = turns
        self._presence = presence
        self._sessions = sessions
        self._budgets = budgets
        self._models = models
        self._rules = rules
        self._voices = voices
        self._draining = draining

    def check(self, connection: Connection, say: Say) -> None:
        """Whether it may be said at all.

        Raises ``ValidationError``, ``PayloadTooLarge`` or ``ProviderUnavailable``.
        """
        if say.speak and not self._voices().speaks_to(connection):
            raise ValidationError("speak needs a voice session: send voice_start first")
        if len(say.text) > self._rules.max_chars:
            raise PayloadTooLarge(
                f"text has {len(say.text)} characters, {self._rules.max_chars} are allowed"
            )
        if fault := _text_fault(say.text):
            raise ValidationError(f"text {fault}", faults=[("text", fault)])
        if say.model is not None and say.model not in self._models:
            fault = f"is not one of {', '.join(self._models)}"
            raise ValidationError(f"model {fault}", faults=[("model", fault)])

    async def say(self, connection: Connection, say: Say) -> Receipt:
        """Stores what was written, in a new session where that of its client has ended. ``begin``
        of the receipt must be called.

        Raises ``ServerDraining``, ``SessionLimit``, ``RateLimited`` and what ``Turns.admit`` does.
        """
        self._admit()
        return await self._store(connection, await self._presence.present(connection), say)

    async def heard(self, connection: Connection, session: Session, say: Say) -> Receipt:
        """Stores what was said aloud in the session in which it was said, whether or not its client
        is still there. ``begin`` of the receipt must be called.

        Raises ``SessionExpired`` where that has ended, and what ``check`` and ``say`` do.
        """
        self.check(connection, say)
        self._admit()
        await self._presence.still(connection, session)
        return await self._store(connection, session, say)

    def _admit(self) -> None:
        if self._draining():
            raise ServerDraining

    async def _store(self, connection: Connection, session: Session, say: Say) -> Receipt:
        draft = Draft(
            session_id=session.id,
            message_id=say.message_id or new_id("msg"),
            text=say.text,
            streamed=say.streamed,
            on_busy=say.on_busy,
            retry=say.retry,
            model=say.model,
            scope=connection.identity.scope,
        )
        try:
            await self._budgets.take(connection, "messages")
        except RateLimited:
            # What was accepted before is said again even to those who may say nothing new.
            known = await self._lane.known(draft) if say.message_id is not None else None
            if known is None:
                raise
            return self._turns.receipt(connection, draft, known)
        if say.speak:
            self._voices().expect(connection, draft.turn_id)
        try:
            receipt = await self._turns.admit(connection, draft)
        except BaseException:
            self._unexpected(say, draft)
            raise
        if receipt.duplicate:
            self._unexpected(say, draft)
            # No new message: it costs what a question costs.
            await self._budgets.refund(connection, "messages")
            try:
                await self._presence.charge(connection)
            except RateLimited:
                receipt.begin()
                raise
        self._sessions.touch(session)
        return receipt

    def _unexpected(self, say: Say, draft: Draft) -> None:
        """There is nothing new to be spoken."""
        if say.speak:
            self._voices().forget(draft.turn_id)


def _text_fault(text: str) -> str | None:
    """What keeps a text from being stored and sent, if anything."""
    if not text.strip():
        return "is empty"
    if "\0" in text:
        return "has a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair"
    return None
