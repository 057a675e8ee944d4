"""Where the answers are heard that somebody asked for aloud."""

from typing import Protocol

from talksy.errors import TalksyError, error_payload
from talksy.events import Fault, Notice, Sound, SoundBegan, SoundEnded, SoundVoid
from talksy.gateway.connection import Connection
from talksy.ids import new_id
from talksy.voice.mouth import Mouth


class Hearer(Protocol):
    """Who hears it. All of it returns at once."""

    @property
    def connection(self) -> Connection:
        """Whose it is."""
        ...

    def tell(self, notice: Notice) -> None:
        """Sends it, if anybody is there."""
        ...

    def assistant_speaks(self, speaks: bool) -> None:
        """Whether the assistant can be heard from here on."""
        ...


class Loudspeaker:
    """A ``Speaker``, one for each session. It outlives the microphone beside it and the connection
    it plays to: who comes back has it again.
    """

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._mouths: dict[str, Mouth] = {}
        """What is being spoken, by turn."""
        self._speaking: str | None = None
        self._numbers: dict[str, int] = {}

    @property
    def speaking(self) -> str | None:
        """The turn that can be heard."""
        return self._speaking

    @property
    def connection(self) -> Connection:
        """Who hears it, or did last."""
        return self._hearer.connection

    def has(self, turn_id: str) -> bool:
        """Whether a turn is being spoken."""
        return turn_id in self._mouths

    def pass_to(self, hearer: Hearer) -> None:
        """Plays there from here on. The same client hears on; to another one what is being said is
        said again, from its present sentence, and the former hears no more of it.
        """
        former, self._hearer = self._hearer, hearer
        if (turn_id := self._speaking) is None:
            return
        hearer.assistant_speaks(True)
        if hearer.connection is former.connection:
            return
        former.tell(SoundVoid(turn_id))
        hearer.tell(SoundBegan(turn_id, self._number(turn_id)))
        self._mouths[turn_id].again()

    # ---- what is spoken

    def speak(self, turn_id: str, mouth: Mouth) -> None:
        """A turn is about to be spoken."""
        self._mouths[turn_id] = mouth

    def pause(self, turn_id: str) -> None:
        """It may go on later, under the next numbers."""
        self._mouths.pop(turn_id, None)
        self._silent(turn_id)

    def spoke(self, turn_id: str) -> None:
        """It has ended."""
        self.pause(turn_id)
        self._numbers.pop(turn_id, None)

    def played(self, turn_id: str, ms: float) -> None:
        """The client has played so much of it."""
        if mouth := self._mouths.get(turn_id):
            mouth.played(ms)

    def hush(self, turn_id: str) -> None:
        """Nothing more of it is heard."""
        if mouth := self._mouths.get(turn_id):
            mouth.hush()

    def left(self) -> None:
        """Nobody is there: what was not heard by now waits for who comes back, as long as it would
        have been heard.
        """
        for mouth in self._mouths.values():
            mouth.left()

    def mute(self) -> None:
        """Nobody is there to hear anything, nor will be."""
        for mouth in self._mouths.values():
            mouth.mute()

    # ---- what mouths say

    def start(self, turn_id: str) -> None:
        """As ``Speaker.start``."""
        self._speaking = turn_id
        self._hearer.assistant_speaks(True)
        self._hearer.tell(SoundBegan(turn_id, self._number(turn_id)))

    def play(self, turn_id: str, pcm: bytes, text: str | None) -> None:
        """As ``Speaker.play``."""
        self._hearer.tell(Sound(turn_id, self._number(turn_id), pcm, text))

    def finish(self, turn_id: str) -> None:
        """As ``Speaker.finish``."""
        self._silent(turn_id)
        self._hearer.tell(SoundEnded(turn_id, self._number(turn_id)))

    def clear(self, turn_id: str) -> None:
        """As ``Speaker.clear``."""
        self._silent(turn_id)
        self._hearer.tell(SoundVoid(turn_id))

    def fault(self, turn_id: str, error: TalksyError) -> None:
        """As ``Speaker.fault``."""
        self._silent(turn_id)
        told = error_payload(error, turnId=turn_id, requestId=new_id("req"))
        self._hearer.tell(Fault(told))

    def _silent(self, turn_id: str) -> None:
        if self._speaking == turn_id:
            self._speaking = None
            self._hearer.assistant_speaks(False)

    def _number(self, turn_id: str) -> int:
        number = self._numbers.get(turn_id, 0)
        self._numbers[turn_id] = number + 1
        return number
