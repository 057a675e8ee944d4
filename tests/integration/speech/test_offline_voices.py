"""espeak-ng and flite, as programs."""

import asyncio
import os
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from talksy.ai.stt.sphinx import SphinxRecognizer
from talksy.ai.tts import open_synthesizer, program
from talksy.ai.tts.offline import PROGRAMS, OfflineSynthesizer
from talksy.audio import OUT_RATE
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable
from talksy.voice.resample import Resampler
from tests.integration.database.opened import until
from tests.postgres import missing
from tests.unit.stt.script import hear
from tests.unit.tts.script import spoken, words, written

TEXT = "It is four. Now it is five, and it will soon be six."
Fake = Callable[[str], OfflineSynthesizer]


@pytest.fixture(params=PROGRAMS)
def synthesizer(request: pytest.FixtureRequest) -> OfflineSynthesizer:
    try:
        return OfflineSynthesizer(model=request.param)
    except ProviderUnavailable as error:
        missing(f"{error.hint}. TALKSY_REQUIRE_REAL=0 skips.")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A program of that name that does something else."""

    def one(script: str) -> OfflineSynthesizer:
        program = tmp_path / "espeak-ng"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(tmp_path))
        return OfflineSynthesizer(processes=1, queue=1)

    return one


async def test_each_sentence_is_spoken_as_long_as_it_takes(synthesizer: OfflineSynthesizer) -> None:
    pieces = await spoken(synthesizer, TEXT)
    assert words(pieces) == ["It is four. ", "Now it is five, and it will soon be six."]
    assert 500 < pieces[0].duration_ms < pieces[1].duration_ms < 6_000
    assert {piece.provider for piece in pieces} == {"offline"}
    assert any(sample > 1_000 for sample in memoryview(pieces[0].pcm).cast("h"))


async def test_what_it_says_is_understood() -> None:
    """From text to 24 kHz, down to 16 kHz, and back to text."""
    (piece,) = await spoken(open_synthesizer("offline:flite"), "What time is it?")
    recognizer = SphinxRecognizer(workers=1)
    try:
        told = await hear(recognizer, Resampler(OUT_RATE).feed(piece.pcm + bytes(OUT_RATE)))
    finally:
        await recognizer.close()
    assert told[-1].text == "what time is it"


async def test_a_language_has_a_voice_of_its_own() -> None:
    espeak = open_synthesizer("offline:espeak-ng")
    said = []
    for language in ("en", "de-DE", "de", None):
        pieces = [each async for each in espeak.stream(written("Guten Tag."), language=language)]
        said.append(pieces[0].pcm)
    assert said[0] == said[3] != said[1] == said[2]


async def test_warm_it_has_a_process_ahead_that_says_the_same(
    synthesizer: OfflineSynthesizer,
) -> None:
    cold = await spoken(synthesizer, TEXT)
    await synthesizer.warm()
    try:
        assert [await spoken(synthesizer, TEXT) for _ in range(3)] == [cold] * 3
        both = await asyncio.gather(*(spoken(synthesizer, TEXT) for _ in range(2)))
        assert both == [cold] * 2
    finally:
        await synthesizer.close()


@pytest.fixture
async def traced(fake: Fake, tmp_path: Path) -> AsyncIterator[tuple[OfflineSynthesizer, TextIO]]:
    """espeak-ng, warm, and where the number of each of its processes is written. In the end they
    are all gone.
    """
    os.mkfifo(tmp_path / "pids")
    program = shutil.which("espeak-ng") or missing("apt-get install espeak-ng")
    with os.fdopen(os.open(tmp_path / "pids", os.O_RDWR)) as pids:
        synthesizer = fake(f'echo $$ > {tmp_path}/pids; exec {program} "$@"')
        await synthesizer.warm()
        await asyncio.to_thread(pids.readline)  # it has said a word to itself
        yield synthesizer, pids
        await synthesizer.close()
        os.write(pids.fileno(), b"\n")
        while line := pids.readline().strip():
            await gone(int(line))


async def gone(pid: int) -> None:
    """Returns when a process has ended and was buried."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.01)


async def test_the_next_process_is_there_before_its_text(
    traced: tuple[OfflineSynthesizer, TextIO],
) -> None:
    synthesizer, pids = traced
    for _ in range(3):
        ahead = int(await asyncio.to_thread(pids.readline))
        await until(lambda: synthesizer._program._ahead)
        assert (await spoken(synthesizer, "One."))[0].duration_ms > 200
        with pytest.raises(ProcessLookupError):
            os.kill(ahead, 0)


async def test_a_process_ahead_that_has_died_costs_nothing(
    traced: tuple[OfflineSynthesizer, TextIO],
) -> None:
    synthesizer, pids = traced
    ahead = int(await asyncio.to_thread(pids.readline))
    await until(lambda: synthesizer._program._ahead)
    os.kill(ahead, signal.SIGKILL)
    await gone(ahead)
    assert (await spoken(synthesizer, "One."))[0].duration_ms > 200


@pytest.mark.parametrize("voice", ["nobody", "-f/etc/passwd", "--path=/tmp", "../en", "a b", ""])
async def test_a_voice_that_is_not_there_or_no_voice_at_all_is_the_usual_one(
    synthesizer: OfflineSynthesizer, voice: str
) -> None:
    assert await spoken(synthesizer, "One.", voice=voice) == await spoken(synthesizer, "One.")


@pytest.mark.parametrize(
    "text",
    [
        "-v de",
        "--version",
        "$(id) `id` ; ls",
        "[[_|]] <mark name='x'/>",
        "/etc/passwd",
        "naïve\u0000 text",
    ],
)
async def test_a_text_is_only_read(synthesizer: OfflineSynthesizer, text: str) -> None:
    (piece,) = await spoken(synthesizer, text)
    assert (piece.text, piece.duration_ms > 200) == (text, True)


async def test_too_many_at_once_are_refused(fake: Fake) -> None:
    synthesizer = fake("exec sleep 60")
    tasks = [asyncio.create_task(spoken(synthesizer, "One.")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await spoken(synthesizer, "One.")
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError)
        for each in await asyncio.gather(*tasks, return_exceptions=True)
    )


async def test_closing_it_ends_its_process(fake: Fake, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    synthesizer = fake(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    speaking = asyncio.create_task(spoken(synthesizer, "One."))
    pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    os.kill(pid, 0)
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_hangs_is_ended(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "SECONDS", 0.1)
    synthesizer = fake("exec sleep 60")
    for _ in range(2):
        with pytest.raises(ProviderTimeout):
            await spoken(synthesizer, "One.")


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$", "echo no sound", "exit 0"])
async def test_a_program_that_fails_says_so(fake: Fake, script: str) -> None:
    with pytest.raises(ProviderUnavailable) as raised:
        await spoken(fake(script), "One.")
    assert "espeak-ng" in str(raised.value.hint)


async def test_keys_do_not_go_along(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(ProviderUnavailable):
        await spoken(fake(f"export -p > {tmp_path}/seen"), "One.")
    assert "secret" not in (tmp_path / "seen").read_text()


async def test_a_program_that_was_taken_away_is_missed(fake: Fake, tmp_path: Path) -> None:
    synthesizer = fake("exit 0")
    (tmp_path / "espeak-ng").unlink()
    with pytest.raises(ProviderUnavailable) as raised:
        await synthesizer.ping()
    assert raised.value.hint == "espeak-ng does not start: No such file or directory"
