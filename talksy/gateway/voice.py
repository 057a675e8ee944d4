"""Voice at the door: who has the microphone, what is heard, asked and spoken.

A microphone belongs to one connection of a session. What it says is a message like any other; the
answer is a turn like any other, spoken while it is written, as long as it runs on this node. A
session has one loudspeaker here, whoever has the microphone: who lets go of that, or loses the
connection, and takes it again goes on hearing the answer and may interrupt it. Both end with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import structlog

from talksy.conversation import Course, Turn
from talksy.database.rows import TurnRow
from talksy.errors import MicBusy, SessionExpired, ValidationError
from talksy.events import Reason
from talksy.gateway.connection import Connection
from talksy.gateway.loudspeaker import Loudspeaker
from talksy.gateway.requests import Listening, Receipt, Say, VoiceStart
from talksy.gateway.stream import Pace, Stream, Words
from talksy.ids import new_id
from talksy.metrics import Metrics
from talksy.sessions import Session
from talksy.state import MemorySlots, Slot, Slots
from talksy.voice import BUILT_IN, USUAL, Engines, OwnProfile, Profile
from talksy.voice.mouth import Mouth, Voice
from talksy.voice.spoken import SpokenTurn
from talksy.voice.timing import Timing

log = structlog.get_logger(__name__)

LAST_SECONDS = 2.0
"""A node that stops does not wait for recognisers that have a long line of sound before them."""
RETURN_SECONDS = 30.0
"""So long an answer is spoken to nobody."""


class Profiles(Protocol):
    """Where people keep profiles of their own."""

    async def find(self, user_id: str, name: str) -> Mapping[str, Any] | None:
        """One of a user's, as JSON has it; None where there is none."""
        ...


class Voices:
    """The microphones of this node, and who is spoken to."""

    def __init__(
        self,
        engines: Engines,
        *,
        say: Callable[[Connection, Session, Say], Awaitable[Receipt]],
        charge: Callable[[Connection], Awaitable[None]],
        halt: Callable[[str, Reason], None],
        profiles: Profiles | None = None,
        slots: Slots | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """``say`` says something in a session; ``charge`` counts an utterance that nobody answers;
        ``halt`` ends a turn of this node's; ``slots`` are shared with other nodes.
        """
        self._engines = engines
        self._say = say
        self._charge = charge
        self._halt = halt
        self._profiles = profiles
        self._slots = slots or MemorySlots()
        self.metrics = (metrics or Metrics()).voice
        self._streams: dict[Connection, Stream] = {}
        self._paces: dict[Connection, Pace] = {}
        """Of all who have had a microphone: a new one is no new allowance."""
        self._loudspeakers: dict[str, Loudspeaker] = {}
        """By session, from the first microphone in it on until its client has gone for good."""
        self._lost: dict[str, asyncio.TimerHandle] = {}
        """The sessions whose client may come back."""
        self._spoken: dict[str, tuple[Stream, Timing]] = {}
        """The turns that are to be spoken, until they have ended."""
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- what clients ask for

    async def start(self, connection: Connection, session: Session, ask: VoiceStart) -> Listening:
        """Listens to a microphone from here on; one that is listened to goes on as asked now.

        Raises ``ValidationError``, ``MicBusy``, ``Overloaded``, ``SessionExpired`` or what its
        engines raise.
        """
        name = ask.profile or USUAL
        profile = _asked(await self._profile(connection.user_id, name), ask)
        self._engines.hears(profile.stt).check(profile.language)
        former = self._streams.get(connection)
        pace = self._paces.get(connection) or Pace()
        if former is None:
            slot = Slot(new_id("voi"), f"mic:{session.id}", session.id)
            if not await self._slots.take(slot, per_session=1, per_user=1):
                raise MicBusy
            stream = Stream(slot, connection, session, self, pace)
        else:
            stream = former
        try:
            await stream.listen(self._engines, profile, ask)
        except BaseException:
            if former is None:
                await self._slots.free(stream.slot)
            raise
        self._streams[connection] = stream
        self._paces[connection] = pace
        self._plug(stream)
        if connection.closed:
            self.leave(connection)
        elif connection.session is not session:
            self.hang_up(connection, session)
            raise SessionExpired
        return Listening(stream.id, name, profile.auto_start)

    def hear(self, connection: Connection, pcm: bytes) -> None:
        """Takes the next piece of sound, at once. Raises ``ValidationError`` or ``RateLimited``."""
        self._stream(connection).hear(pcm)

    def played(self, connection: Connection, turn_id: str, ms: float) -> None:
        """The client has played so much of an answer. Raises ``ValidationError``."""
        session = connection.session
        loudspeaker = self._loudspeakers.get(session.id) if session is not None else None
        if loudspeaker is None or loudspeaker.connection is not connection:
            raise ValidationError("nobody speaks to this connection: send voice_start first")
        loudspeaker.played(turn_id, ms)

    async def stop(self, connection: Connection) -> None:
        """Listens no more: what was being said is understood first. Raises ``ValidationError``."""
        stream = self._stream(connection)
        del self._streams[connection]
        await self._close(stream)

    def leave(self, connection: Connection) -> None:
        """The client has gone: what it was saying ends with what was heard of it, and what it was
        hearing goes on for a while.
        """
        self._paces.pop(connection, None)
        stream = self._streams.pop(connection, None)
        session = connection.session if stream is None else stream.session
        if session is not None:
            self._lose(connection, session.id)
        if stream is not None:
            self._spawn(self._part(stream), "voice")

    def hang_up(self, connection: Connection, session: Session) -> None:
        """The session of somebody who is here has ended: nothing is heard or spoken there."""
        stream = self._streams.pop(connection, None)
        self._silence(session.id)
        if stream is not None:
            self._spawn(self._close(stream), "voice")

    def speaks_to(self, connection: Connection) -> bool:
        """Whether an answer can be spoken to this client."""
        return connection in self._streams

    def expect(self, connection: Connection, turn_id: str) -> None:
        """The answer of this turn, about to begin, is to be spoken to the client."""
        self._spoken[turn_id] = (self._stream(connection), Timing())

    def forget(self, turn_id: str) -> None:
        """It does not begin."""
        self._spoken.pop(turn_id, None)

    # ---- what streams ask for

    async def ask(self, stream: Stream, words: Words) -> Receipt:
        """Says what was understood. ``begin`` of the receipt must be called."""
        interrupts = stream.profile.turn_detection.interrupt_response
        say = Say(words.text, streamed=True, on_busy="interrupt" if interrupts else "queue")
        receipt = await self._say(stream.connection, stream.session, say)
        if self._loudspeakers.get(stream.session.id) is stream.loudspeaker:
            timing = Timing(words.endpoint_ms, words.stt_ms)
            self._spoken[receipt.turn_id] = (stream, timing)
        return receipt

    async def count(self, stream: Stream) -> None:
        """Counts an utterance that nobody answers. Raises ``RateLimited``."""
        await self._charge(stream.connection)

    def cut(self, turn_id: str) -> None:
        """Somebody speaks in between."""
        self._halt(turn_id, "interrupted")

    # ---- what the turns ask for

    def wrap(self, row: TurnRow, turn: Turn) -> Course:
        """The turn as it runs: spoken, where somebody is spoken to."""
        expected = self._spoken.get(row.id)
        if expected is None:
            return turn
        stream, timing = expected
        mouth = Mouth(
            stream.synthesizer,
            stream.loudspeaker,
            row.id,
            Voice(stream.voice, stream.profile.language),
            now=asyncio.get_running_loop().time,
            spoke=timing.spoke,
        )
        stream.loudspeaker.speak(row.id, mouth)
        return SpokenTurn(turn, mouth, timing, partial(self._ended, stream, row.id))

    def _ended(self, stream: Stream, turn_id: str, whole: bool) -> None:
        if not whole:
            stream.loudspeaker.pause(turn_id)
            return
        if expected := self._spoken.pop(turn_id, None):
            self.metrics.answered(expected[1].told())
        stream.loudspeaker.spoke(turn_id)

    # ---- the end

    def _plug(self, stream: Stream) -> None:
        """Has what is spoken in its session heard beside this microphone."""
        loudspeaker = self._loudspeakers.setdefault(stream.session.id, stream.loudspeaker)
        if timer := self._lost.pop(stream.session.id, None):
            timer.cancel()
        if loudspeaker is not stream.loudspeaker:
            stream.take_over(loudspeaker)

    def _lose(self, connection: Connection, session_id: str) -> None:
        """Keeps what this client was hearing for who comes back."""
        loudspeaker = self._loudspeakers.get(session_id)
        if loudspeaker is None or loudspeaker.connection is not connection:
            return
        loudspeaker.left()
        loop = asyncio.get_running_loop()
        self._lost[session_id] = loop.call_later(RETURN_SECONDS, self._silence, session_id)

    def _silence(self, session_id: str) -> None:
        """Nothing more is heard in a session; what has not begun by now is not spoken."""
        if timer := self._lost.pop(session_id, None):
            timer.cancel()
        loudspeaker = self._loudspeakers.pop(session_id, None)
        if loudspeaker is None:
            return
        loudspeaker.mute()
        for turn_id, (stream, _) in [*self._spoken.items()]:
            if stream.loudspeaker is loudspeaker and not loudspeaker.has(turn_id):
                del self._spoken[turn_id]

    async def close(self) -> None:
        """Ends all of them. What is still to be understood has ``LAST_SECONDS``."""
        for session_id in [*self._lost]:
            self._silence(session_id)
        streams = [*self._streams.values()]
        self._streams.clear()
        for stream in streams:
            self._spawn(self._close(stream), "voice")
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _close(self, stream: Stream) -> None:
        try:
            await stream.close()
        finally:
            await self._slots.free(stream.slot)

    async def _part(self, stream: Stream) -> None:
        """As ``_close``, of one whose client has gone: its microphone is free at once."""
        try:
            await self._slots.free(stream.slot)
        finally:
            await stream.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("voice_failed", exc_info=error)

    def _stream(self, connection: Connection) -> Stream:
        stream = self._streams.get(connection)
        if stream is None:
            raise ValidationError("nobody listens to this connection: send voice_start first")
        return stream

    async def _profile(self, user_id: str, name: str) -> Profile:
        if name in BUILT_IN:
            return BUILT_IN[name]
        own = await self._profiles.find(user_id, name) if self._profiles else None
        if own is None:
            fault = f"is not one of {', '.join(BUILT_IN)}, nor one of your own"
            raise ValidationError(f"profile {fault}", faults=[("profile", fault)])
        return OwnProfile.model_validate(own).whole()


def _asked(profile: Profile, ask: VoiceStart) -> Profile:
    """The profile with what was asked for beside it."""
    said: dict[str, Any] = {}
    if ask.language is not None:
        said["language"] = ask.language
    if ask.voice is not None:
        said["voice"] = ask.voice
    if ask.turn_detection is not None:
        said["turnDetection"] = ask.turn_detection.model_dump(
            mode="json", by_alias=True, exclude_unset=True
        )
    return Profile.model_validate(said).over(profile) if said else profile
