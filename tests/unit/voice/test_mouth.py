"""An answer is spoken while it is written, and what was heard of it is known."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from talksy.ai.llm import StreamReset
from talksy.ai.tts import Synthesizer
from talksy.ai.tts.mock import LETTER_MS, MockSynthesizer
from talksy.audio import OUT_RATE, milliseconds
from talksy.conversation import Turn
from talksy.errors import ProviderUnavailable, TalksyError
from talksy.events import Ending
from talksy.messages import Prompt
from talksy.voice.mouth import LEAD_MS, Mouth, Voice
from talksy.voice.spoken import SpokenTurn
from talksy.voice.timing import Timing
from tests.unit.conversation.script import Script, Step


class Box:
    """A loudspeaker that keeps what it is given."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.text = ""
        self.ms = 0.0
        self.stirred = asyncio.Event()

    def start(self, turn_id: str) -> None:
        self._note("start", turn_id)

    def play(self, turn_id: str, pcm: bytes, text: str | None) -> None:
        self.text += text or ""
        self.ms += milliseconds(len(pcm), OUT_RATE)
        if self.told[-1:] != ["play"]:
            self._note("play", turn_id)
        self.stirred.set()

    async def has(self, ms: float) -> None:
        """Returns when it was given so much."""
        while self.ms < ms:
            self.stirred.clear()
            await self.stirred.wait()

    def finish(self, turn_id: str) -> None:
        self._note("finish", turn_id)

    def clear(self, turn_id: str) -> None:
        self._note("clear", turn_id)

    def fault(self, turn_id: str, error: TalksyError) -> None:
        self._note(error.code, turn_id)

    def _note(self, word: str, turn_id: str) -> None:
        assert turn_id == "trn_1"
        self.told.append(word)


class Clock:
    """Stands where it is put: what waits for it would wait for ever, so little is spoken."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Hoarse(MockSynthesizer):
    """Loses its voice at once."""

    async def speak(
        self,
        sentence: str,  # noqa: ARG002
        voice: str | None,  # noqa: ARG002
        language: str | None,  # noqa: ARG002
    ) -> AsyncGenerator[bytes]:
        raise ProviderUnavailable
        yield b""  # type: ignore[unreachable]  # it makes a generator of it


def mouth_of(
    box: Box,
    synthesizer: Synthesizer | None = None,
    now: Callable[[], float] | None = None,
    spoke: Callable[[], None] = lambda: None,
) -> Mouth:
    clock = now or asyncio.get_running_loop().time
    voice = synthesizer or MockSynthesizer()
    return Mouth(voice, box, "trn_1", Voice(), now=clock, spoke=spoke)


def length(text: str) -> float:
    return float(LETTER_MS * len(text))


async def test_what_is_written_is_spoken_to_its_end() -> None:
    box = Box()
    mouth = mouth_of(box)
    for part in ("Hi", " you. ", "Ok."):
        mouth.say(part)
    mouth.end()
    await mouth.run()
    assert box.told == ["start", "play", "finish"]
    assert box.text == mouth.heard == "Hi you. Ok."
    assert box.ms == length("Hi you.") + length("Ok.")


async def test_it_speaks_before_all_is_written() -> None:
    box = Box()
    mouth = mouth_of(box)
    running = asyncio.create_task(mouth.run())
    mouth.say("One. ")
    mouth.say("Two")
    await box.stirred.wait()
    assert box.text.strip() == "One."
    mouth.end()
    await running
    assert box.text == "One. Two"


async def test_no_more_is_sent_ahead_than_little() -> None:
    box = Box()
    mouth = mouth_of(box, now=Clock())
    mouth.say("A sentence that is much too long to be sent ahead at once, and goes on.")
    mouth.end()
    running = asyncio.create_task(mouth.run())
    await box.stirred.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    assert LEAD_MS <= box.ms <= LEAD_MS + 40
    running.cancel()
    await asyncio.wait({running})


async def test_hushed_it_takes_back_what_was_not_played() -> None:
    box, clock = Box(), Clock()
    mouth = mouth_of(box, now=clock)
    mouth.say("One two three four five.")
    mouth.end()
    running = asyncio.create_task(mouth.run())
    await box.stirred.wait()
    clock.now += length("One two thr") / 1_000
    mouth.hush()
    running.cancel()
    await asyncio.wait({running})
    assert box.told == ["start", "play", "clear"]
    assert mouth.heard == "One two "


async def test_what_the_client_has_played_counts_more_than_what_was_sent() -> None:
    box, clock = Box(), Clock()
    mouth = mouth_of(box, now=clock)
    mouth.say("One two three four five.")
    mouth.end()
    running = asyncio.create_task(mouth.run())
    await box.stirred.wait()
    clock.now += 60
    mouth.played(length("One t"))
    assert mouth.heard == "One "
    clock.now += length("wo th") / 1_000
    assert mouth.heard == "One two "
    running.cancel()
    await asyncio.wait({running})


async def test_who_comes_back_hears_the_present_sentence_from_its_beginning() -> None:
    box, clock = Box(), Clock()
    mouth = mouth_of(box, now=clock)
    for part in ("One two. ", "Three four. ", "Five six. "):
        mouth.say(part)
    mouth.end()
    running = asyncio.create_task(mouth.run())
    await box.has(LEAD_MS)
    clock.now += length("One two.Thr") / 1_000
    mouth.played(length("One two.Thr"))
    assert box.text == "One two. Three four. Five six. "
    box.text, box.ms = "", 0.0
    mouth.again()
    assert mouth.heard == "One two. "
    await box.has(length("Three four.Five six."))
    assert box.text == "Three four. Five six. "
    mouth.played(length("Three "))
    assert mouth.heard == "One two. Three "
    clock.now += length("four. ") / 1_000
    assert mouth.heard == "One two. Three four. "
    running.cancel()
    await asyncio.wait({running})


async def test_what_was_said_to_nobody_is_said_again_also_at_the_very_end() -> None:
    box = Box()
    mouth = mouth_of(box)
    mouth.say("One two three four.")
    mouth.end()
    running = asyncio.create_task(mouth.run())
    await box.has(length("One two three four."))
    mouth.again()
    await running
    assert box.told == ["start", "play", "finish"]
    assert box.text == 2 * "One two three four."
    assert mouth.heard == "One two three four."


async def test_where_no_voice_can_be_had_the_answer_goes_on_as_text() -> None:
    box = Box()
    mouth = mouth_of(box, Hoarse())
    mouth.say("Hello.")
    mouth.end()
    await mouth.run()
    assert (box.told, mouth.heard) == (["PROVIDER_UNAVAILABLE"], "")


# ---- inside a turn


async def spoken(
    box: Box, *steps: Step, after: Callable[[SpokenTurn], None] | None = None
) -> tuple[Ending, str]:
    written: list[str] = []
    timing = Timing()
    mouth = mouth_of(box, spoke=timing.spoke)
    turn = SpokenTurn(Turn(Script(*steps), [Prompt("user", "hi")]), mouth, timing)
    running = asyncio.create_task(turn.run(lambda part: written.append(getattr(part, "text", "|"))))
    if after is not None:
        await box.stirred.wait()
        after(turn)
    ending = await running
    assert isinstance(ending, Ending)
    return ending, "".join(written)


async def test_a_spoken_turn_ends_when_it_was_heard() -> None:
    box = Box()
    ending, written = await spoken(box, "Hi ", "you.")
    assert (ending.reason, ending.text, ending.heard) == ("completed", "Hi you.", False)
    assert (written, box.told[-1]) == ("Hi you.", "finish")
    assert ending.metrics is not None
    assert ending.metrics["firstAudioMs"] >= ending.metrics["firstTokenMs"]


async def test_one_that_is_interrupted_keeps_what_was_heard() -> None:
    box = Box()
    text = "A long answer that nobody wants to hear to its end."
    ending, written = await spoken(box, text, after=lambda turn: turn.stop("interrupted"))
    assert (ending.reason, ending.heard, written) == ("interrupted", True, text)
    assert ending.text is not None
    assert text.startswith(ending.text)
    assert len(ending.text) < 10
    assert box.told == ["start", "play", "clear"]


async def test_one_that_nobody_hears_any_more_ends_with_all_that_was_written() -> None:
    box = Box()
    text = "A long answer to somebody who has left the room before its end."
    mouth = mouth_of(box, now=Clock())
    turn = SpokenTurn(Turn(Script(text), [Prompt("user", "hi")]), mouth, Timing())
    running = asyncio.create_task(turn.run(lambda _: None))
    await box.stirred.wait()
    mouth.mute()
    ending = await running
    assert isinstance(ending, Ending)
    assert (ending.reason, ending.text, box.told) == ("completed", text, ["start", "play"])


async def test_one_that_begins_anew_takes_back_what_it_said() -> None:
    box = Box()
    go_on = asyncio.Event()
    steps = ("Nope. ", "Never ", go_on, StreamReset("provider_timeout"), "Yes.")
    ending, _ = await spoken(box, *steps, after=lambda _: go_on.set())
    assert ending.text == "Yes."
    assert box.told == ["start", "play", "clear", "start", "play", "finish"]
