"""What every detector of speech promises."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from talksy.audio import IN_RATE, SAMPLE_BYTES, Carry

_SAMPLES_A_MS = IN_RATE // 1_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame of a stream, and how likely it is that somebody speaks in it."""

    pcm: bytes
    start_ms: int
    """Of the stream's clock, as is the end."""
    end_ms: int
    probability: float
    """0 to 1."""


@runtime_checkable
class Judge(Protocol):
    """An engine: it judges the frames of one stream, one after the other.

    It is called on the event loop, so a frame may take it 0.2 ms at most.
    """

    @property
    def name(self) -> str:
        """The engine's name, such as ``silero``."""
        ...

    @property
    def samples(self) -> int:
        """The length of its frames at 16 kHz: whole milliseconds."""
        ...

    def judge(self, frame: bytes) -> float:
        """How likely it is, 0 to 1, that somebody speaks in the next frame."""
        ...

    def forget(self) -> None:
        """What comes next has nothing to do with what came so far."""
        ...


class SpeechDetector:
    """Tells where in a stream of 16 kHz PCM somebody may be speaking. One stream at a time.

    The pieces may have any length, an odd number of bytes too: the same stream gives the same
    frames, and so the same judgements, however it was cut.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._carry = Carry(judge.samples)
        self._samples = 0

    @property
    def name(self) -> str:
        """Who judges, such as ``combined``."""
        return self._judge.name

    @property
    def frame_ms(self) -> int:
        """How long a frame is: so late a judgement may come."""
        return self._judge.samples // _SAMPLES_A_MS

    def hear(self, pcm: bytes) -> list[Judged]:
        """Takes the next piece; gives the frames that are whole with it, oldest first."""
        return [self._judged(frame) for frame in self._carry.cut(pcm)]

    def finish(self) -> list[Judged]:
        """The stream is over: gives what was left of it, if anything, and begins another."""
        rest = self._carry.rest()
        judged = [self._judged(rest)] if rest else []
        self._samples = 0
        self._judge.forget()
        return judged

    def _judged(self, pcm: bytes) -> Judged:
        start = self._samples
        self._samples += len(pcm) // SAMPLE_BYTES
        frame = pcm.ljust(self._judge.samples * SAMPLE_BYTES, b"\0")
        return Judged(
            pcm,
            start // _SAMPLES_A_MS,
            self._samples // _SAMPLES_A_MS,
            self._judge.judge(frame),
        )
