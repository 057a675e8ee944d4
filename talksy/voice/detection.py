"""When somebody begins to speak, stops, and speaks over the assistant.

A pure state machine. Its clock is that of the frames it is given, so it does the same at any speed
and for any framing; nothing here waits. What it keeps is bounded by the settings.

Detectors go on for up to 90 ms after the last word. What is far fainter than the speech before is a
pause all the same, so that the end is known to a few milliseconds.
"""

from collections import deque
from dataclasses import dataclass
from operator import mul
from typing import Literal

from talksy.ai.vad import Judged
from talksy.audio import SAMPLE_BYTES, size_of
from talksy.voice.profiles import TurnDetection

_BREATH_MS = 100
"""A pause that ends no beginning: a stopped consonant takes as long."""
_HYSTERESIS = 0.15
"""So much less than the threshold is enough to go on speaking, as Silero's authors have it."""
_FAINT = 10**-3.5
"""Of the power of the loudest piece: 35 dB less, as no consonant is beside a vowel."""
_FADE = 0.25 ** (1 / 1_000)
"""Of that power, a millisecond: 6 dB a second, so that a bang does not hush what follows it."""
_PIECE_MS = 8
TAIL_MS = 200
"""So much of a pause belongs to what was said before it: enough to hear that a word has ended."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks."""

    offset_ms: int
    """Where it began, on the stream's clock."""
    probability: float
    """The mean of the frames that count as speech."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of the utterance, the first one with what came before it. None overlaps another."""

    pcm: bytes
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Paused:
    """What was given so far may be all: nothing more of it is, unless speech goes on."""

    offset_ms: int
    """Where speech ended, or will go on from."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The utterance is over."""

    offset_ms: int
    """Where speech ended: this is told a pause later."""
    probability: float
    """The mean of the frames that counted as speech."""
    reason: Literal["silence", "length", "end"]
    """``length``: it was as long as one may be, and the next may begin at once. ``end``: the stream
    was over."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Somebody has spoken over the assistant long enough to mean it."""

    offset_ms: int
    """Where that speech began."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Somebody made a sound while the assistant spoke, too short to mean it."""

    offset_ms: int


Heard = Interrupted | SpeechStarted | Spoken | Paused | SpeechStopped | Ignored
"""``(Ignored | Interrupted? SpeechStarted Spoken+ (Paused? Interrupted? Spoken)* Paused?
SpeechStopped)*``"""


@dataclass(slots=True)
class _Run:
    """Speech from its first frame on, with the pauses in it."""

    start_ms: int
    end_ms: int = 0
    voiced_ms: int = 0
    over_start_ms: int | None = None
    """Where it was first heard over the assistant, and how much of it was since then."""
    over_ms: int = 0
    told: bool = False
    """That it interrupts the assistant."""
    _weighed: float = 0.0
    _loudest: float = 0.0

    @property
    def probability(self) -> float:
        return self._weighed / self.voiced_ms

    def add(self, frame: Judged, *, over: bool) -> None:
        """A frame of speech; ``over`` says whether the assistant speaks meanwhile."""
        length = frame.end_ms - frame.start_ms
        powers = _powers(frame.pcm)
        self._loudest = max(self._loudest * _FADE**length, *powers)
        loud = [place for place, power in enumerate(powers, 1) if power >= self._loudest * _FAINT]
        if not loud:
            return
        self.end_ms = min(frame.start_ms + loud[-1] * _PIECE_MS, frame.end_ms)
        self.voiced_ms += length
        self._weighed += frame.probability * length
        if over:
            self.over_ms += length
            if self.over_start_ms is None:
                self.over_start_ms = frame.start_ms

    def begin_over(self) -> None:
        """The assistant begins to speak: what was said before is not said over it."""
        self.over_start_ms, self.over_ms, self.told = None, 0, False

    def stopped(self, reason: Literal["silence", "length", "end"]) -> SpeechStopped:
        return SpeechStopped(self.end_ms, self.probability, reason)


class Endpointer:
    """Makes utterances of the judged frames of one stream.

    Set ``assistant_speaks`` while the assistant can be heard: then it takes ``min_interruption_ms``
    of speech to be heard at all, unless ``interrupt_response`` is off.
    """

    def __init__(self, rules: TurnDetection) -> None:
        self._rules = rules
        self._on = rules.threshold
        self._off = max(rules.threshold - _HYSTERESIS, min(rules.threshold, 0.05))
        self._assistant = False
        self._kept: deque[Judged] = deque()
        """What was not given: what came before speech, or the pause since."""
        self._run: _Run | None = None
        self._speaking = False

    @property
    def assistant_speaks(self) -> bool:
        """Whether the assistant can be heard."""
        return self._assistant

    @assistant_speaks.setter
    def assistant_speaks(self, speaks: bool) -> None:
        if speaks and not self._assistant and self._run:
            self._run.begin_over()
        self._assistant = speaks

    def hear(self, frame: Judged) -> list[Heard]:
        """Takes the next frame; gives what is known with it."""
        return self._follow(frame) if self._speaking else self._await(frame)

    def finish(self) -> list[SpeechStopped]:
        """The stream is over: an utterance ends with what was heard of it, and all is as new."""
        run, speaking = self._run, self._speaking
        self._run, self._speaking = None, False
        self._kept.clear()
        return [run.stopped("end")] if run and speaking else []

    def _await(self, frame: Judged) -> list[Heard]:
        """A frame while nobody speaks for good."""
        self._kept.append(frame)
        run = self._run
        if frame.probability >= self._on:
            run = self._run = run or _Run(frame.start_ms)
            run.add(frame, over=self._interruptible)
        elif run is None:
            self._trim(frame.end_ms)
            return []
        if run.voiced_ms >= self._needed:
            return self._begin(run)
        if frame.end_ms - run.end_ms <= _BREATH_MS:
            return []
        self._run = None
        self._trim(frame.end_ms)
        ignored = self._interruptible and run.voiced_ms >= self._rules.min_speech_ms
        return [Ignored(run.start_ms)] if ignored else []

    def _begin(self, run: "_Run") -> list[Heard]:
        self._trim(run.start_ms)
        self._speaking = True
        started = SpeechStarted(run.start_ms, run.probability)
        return [*self._interrupted(run), started, self._spoken()]

    def _spoken(self) -> Spoken:
        """All that was kept."""
        first, last = self._kept[0], self._kept[-1]
        pcm = b"".join(each.pcm for each in self._kept)
        self._kept.clear()
        return Spoken(pcm, first.start_ms, last.end_ms)

    def _follow(self, frame: Judged) -> list[Heard]:
        """A frame while somebody speaks."""
        run = self._run
        assert run is not None  # noqa: S101 - somebody speaks
        told: list[Heard] = []
        if frame.probability >= self._off:
            run.add(frame, over=self._interruptible)
            told += self._interrupted(run)
        self._kept.append(frame)
        pausing = frame.start_ms - run.end_ms >= TAIL_MS
        if not pausing:
            told.append(self._spoken())
        if frame.end_ms - run.end_ms >= self._rules.silence_duration_ms:
            reason: Literal["silence", "length"] = "silence"
        elif frame.end_ms - run.start_ms >= self._rules.max_speech_ms:
            reason = "length"
        else:
            return [*told, Paused(run.end_ms)] if pausing and len(self._kept) == 1 else told
        self._run, self._speaking = None, False
        return [*told, run.stopped(reason)]

    def _interrupted(self, run: "_Run") -> list[Heard]:
        """That the run interrupts the assistant, once it does."""
        if run.told or run.over_start_ms is None:
            return []
        if not self._interruptible or run.over_ms < self._rules.min_interruption_ms:
            return []
        run.told = True
        return [Interrupted(run.over_start_ms)]

    @property
    def _interruptible(self) -> bool:
        return self._assistant and self._rules.interrupt_response

    @property
    def _needed(self) -> int:
        """Milliseconds of speech until it counts."""
        least = self._rules.min_speech_ms
        return max(least, self._rules.min_interruption_ms) if self._interruptible else least

    def _trim(self, before_ms: int) -> None:
        """Drops what belongs to no utterance that begins then or later."""
        oldest = before_ms - self._rules.prefix_padding_ms
        while self._kept and self._kept[0].start_ms < oldest:
            self._kept.popleft()


def _powers(pcm: bytes) -> list[float]:
    """The mean squares of the pieces of a frame, of every other sample."""
    samples, step = memoryview(pcm).cast("h"), size_of(_PIECE_MS) // SAMPLE_BYTES
    pieces = [samples[at : at + step : 2] for at in range(0, len(samples), step)]
    return [sum(map(mul, piece, piece)) / len(piece) for piece in pieces]
