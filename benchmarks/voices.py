"""Voices beside streams: how late they make the words of others, and how soon they are obeyed."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.delays import Delays, Pace, listen
from benchmarks.load import met
from benchmarks.loads import HOW, STILL_SECONDS
from benchmarks.machine import SERVER_CORE, children, pin, quiet, worked
from benchmarks.microphone import PIECE, PIECE_MS, SAID, Interruption, Microphone, interrupt
from benchmarks.peers import Peer, running_talksy
from benchmarks.report import Check, Section
from benchmarks.rounds import quantile, short
from benchmarks.streams import connected
from talksy.ai.vad import open_detector

REST = ("server's CPU", "recognisers'", "understood", "failed", "after, p50", "p99")
HEAD = ("", "p50", "p99", "p99.9", "longest", "clients' own lag, p99", *REST)
KINDS = {
    "transcribe": "microphones, written down",
    "turn": "conversations",
    "offline": "microphones, recognised offline",
}
APART_SECONDS = 0.1
"""From one interruption to the next."""


@dataclass(frozen=True)
class Voices:
    """Clients that speak all the time, at once."""

    peer: Peer
    clients: int
    seconds: float
    mode: str
    """As ``voice_start`` has it."""


@dataclass(frozen=True)
class Heard:
    """What came of them, by the machine's clock."""

    start: float
    end: float
    worked: float = 0.0
    """The share of a core that the server took meanwhile."""
    recognised: float = 0.0
    """And its recognisers."""
    stt: Sequence[float] = ()
    """Seconds from the end of each utterance, as told, to its text."""
    failed: int = 0
    """Utterances that were not heard."""
    sounds: int = 0
    """Frames of sound that were sent."""


@dataclass(frozen=True)
class Interruptions:
    """Clients of which each speaks over an answer."""

    peer: Peer
    clients: int


@dataclass(frozen=True)
class Obeyed:
    """What came of them."""

    seconds: Sequence[float]
    """From the piece with which each was certain to ``audio_clear``."""
    late: int
    """Frames of sound that came after that."""


Round = tuple[Delays, Heard]


async def speak(order: Voices) -> Heard:
    """Lets all of them speak, each in a time of its own."""
    clients = await connected(Microphone, order.peer, "websocket", order.clients)
    await asyncio.gather(*(client.listened(mode=order.mode) for client in clients))
    await met()
    await met()
    await asyncio.sleep(STILL_SECONDS)
    engines = children(order.peer.pid)
    for pid in engines:
        pin(pid, SERVER_CORE)  # one core is all that there is
    before = worked(order.peer.pid), sum(map(worked, engines))
    start = time.monotonic()
    await asyncio.gather(
        *(_speaking(client, number, order) for number, client in enumerate(clients))
    )
    end = time.monotonic()
    after = worked(order.peer.pid), sum(map(worked, engines))
    took = end - start
    for client in clients:
        client.leave()
    return Heard(
        *(start, end, (after[0] - before[0]) / took, (after[1] - before[1]) / took),
        stt=[seconds for client in clients for seconds in client.understood],
        failed=sum(client.failed for client in clients),
        sounds=sum(client.sounds for client in clients),
    )


async def _speaking(client: Microphone, number: int, order: Voices) -> None:
    until = time.monotonic() + order.seconds
    await asyncio.sleep(len(SAID) / PIECE * PIECE_MS / 1000 * number / order.clients)
    while time.monotonic() < until:
        await client.speak(SAID)
        while client.spoken.is_set() and time.monotonic() < until:
            await client.speak(bytes(PIECE))  # it is answered aloud: it listens
            await asyncio.sleep(PIECE_MS / 1000)


async def speak_over(order: Interruptions) -> Obeyed:
    """Lets each speak over an answer, one a moment after the other."""
    clients = await connected(Microphone, order.peer, "websocket", order.clients)
    await met()
    await met()
    await asyncio.sleep(STILL_SECONDS)

    async def one(number: int, client: Microphone) -> Interruption:
        await asyncio.sleep(number * APART_SECONDS)
        return await interrupt(client)

    told = await asyncio.gather(*(one(number, each) for number, each in enumerate(clients)))
    await asyncio.sleep(1)  # for what comes late
    for client in clients:
        client.leave()
    detector = open_detector("combined")
    return Obeyed([each.obeyed(detector) for each in told], sum(each.late for each in clients))


async def voice(bench: Bench) -> Section:
    """Microphones on the core that serves streams."""
    speakers, streams = bench.count(50, 5), bench.count(200, 20)
    section = Section("voice: microphones beside streams", "", HEAD)
    async with running_talksy({"VOICE_WARM_DETECTORS": speakers}) as talksy:
        for number, mode in enumerate(("transcribe", "turn")):
            order = Voices(talksy, speakers, bench.count(15, 5), mode)
            told = [await _beside(bench, order, streams) for _ in range(bench.times(3))]
            if not number:
                before = [late for delays, heard in told for late in _before(delays, heard)]
                section.rows.append(_row("no microphones", before, told))
            section.rows.append(_speaking_row(f"{speakers} {KINDS[mode]}", told))
            what = f"what {speakers} {KINDS[mode]} add to p99"
            section.checks.append(Check(what, _added(told), 15, "ms"))
        obeyed = await _interrupted(bench, Interruptions(talksy, speakers), streams)
    for count in (2, 4):
        offline = {"STT_PROVIDER": "offline", "STT_WORKERS": count, "VOICE_WARM_DETECTORS": count}
        async with running_talksy(offline) as talksy:
            for pid in children(talksy.pid):
                await quiet(pid)  # it has loaded its models
            order = Voices(talksy, count, bench.count(15, 5), "transcribe")
            told = [await _beside(bench, order, streams)]
        section.rows.append(_speaking_row(f"{count} {KINDS['offline']}", told))
    late = [seconds * 1000 for seconds in obeyed.seconds]
    half, most = quantile(late, 0.5), max(late)
    section.text = _text(speakers, streams) + (
        f" {speakers} of them, 0.1 s apart, spoke over an answer beside the same streams: from "
        "when the piece of sound was sent with which the detector knows (told by the same detector "
        "and the same rules, run over the same pieces by the client) to when `audio_clear` was "
        "there, the way to the server and back in it, took "
        f"{short(half)} ms (p50), {short(most)} ms (longest); {obeyed.late} frames of an answer "
        "came after it."
    )
    section.checks += [
        Check("audio_clear after the detector's decision, longest", most, 50, "ms"),
        Check("sound of an answer after audio_clear", obeyed.late, 0, "frames"),
    ]
    return section


def _text(speakers: int, streams: int) -> str:
    return (
        f"{streams} streams at 20 tokens a second, and after a while {speakers} clients who speak "
        f"all the time, in pieces of {PIECE_MS} ms, on one core: each says a question of 0.7 s "
        "every 2.2 s. The detectors are real (`combined`), the recogniser and the voice are the "
        "mock, but for the last rows: there pocketsphinx hears, its processes on the same core. "
        "Conversations are answered aloud, and the next question waits for the end of the answer. "
        f"Added delay of the streams in ms. {HOW} *Understood* is how many transcripts there were, "
        "*after* how many ms after `speech_stopped` they came."
    )


async def _beside(bench: Bench, order: Voices, streams: int) -> Round:
    pace = Pace(order.peer, streams, 50, order.seconds + STILL_SECONDS + 5, meets=True)
    return await asyncio.gather(bench.load.run(listen, pace), bench.load.beside(speak, order))


async def _interrupted(bench: Bench, order: Interruptions, streams: int) -> Obeyed:
    seconds = order.clients * APART_SECONDS + STILL_SECONDS + 10
    pace = Pace(order.peer, streams, 50, seconds, meets=True)
    _, obeyed = await asyncio.gather(
        bench.load.run(listen, pace), bench.load.beside(speak_over, order)
    )
    return obeyed


def _speaking_row(name: str, told: Sequence[Round]) -> list[str]:
    """The streams while others speak, and what became of these."""
    late = [late for delays, heard in told for late in delays.between(heard.start, heard.end)]
    stt = [seconds * 1000 for _, heard in told for seconds in heard.stt]
    return [
        *_row(name, late, told)[: -len(REST)],
        f"{statistics.mean(heard.worked for _, heard in told):.0%}",
        f"{statistics.mean(heard.recognised for _, heard in told):.0%}",
        short(len(stt)),
        short(sum(heard.failed for _, heard in told)),
        *(short(quantile(stt, share)) if stt else "" for share in (0.5, 0.99)),
    ]


def _row(name: str, late: Sequence[float], told: Sequence[Round]) -> list[str]:
    cuts = (quantile(late, share) * 1000 for share in (0.5, 0.99, 0.999, 1))
    lag = max(delays.lag for delays, _ in told)
    return [name, *map(short, cuts), short(lag * 1000), *[""] * len(REST)]


def _before(delays: Delays, heard: Heard) -> Sequence[float]:
    return delays.between(heard.start - STILL_SECONDS, heard.start)


def _added(told: Sequence[Round]) -> float:
    """Milliseconds: the median of the rounds."""
    return (
        statistics.median(
            quantile(delays.between(heard.start, heard.end), 0.99)
            - quantile(_before(delays, heard), 0.99)
            for delays, heard in told
        )
        * 1000
    )
