"""Transcriptions of both vendors, through the real SDKs."""

import io
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from talksy.ai.llm import Choice, Unwatched
from talksy.ai.stt import FallbackRecognizer, Recognizer, open_recognizer
from talksy.errors import ProviderFault, ProviderTimeout, ProviderUnavailable
from tests.unit.stt.script import SOUND, hear, read, texts
from tests.vendors.audio import segment, told, transcribed
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer
from tests.vendors.replay import Scenario

Open = Callable[[str], Recognizer]


@pytest.fixture
async def opened(openai: OpenAIServer, groq: GroqServer) -> AsyncIterator[Open]:
    """Opens recognisers by name; each gives up on a silence of 300 ms."""
    options = {
        "openai": {"api_key": "sk-secret", "base_url": openai.url, "read_timeout": 0.3},
        "groq": {"api_key": "gsk-secret", "base_url": groq.url, "read_timeout": 0.3},
    }
    async with AsyncExitStack() as stack:

        def one(name: str) -> Recognizer:
            recognizer = open_recognizer(name, options)
            stack.push_async_callback(recognizer.close)
            return recognizer

        yield one


def sent(server: OpenAIServer | GroqServer) -> dict[str, Any]:
    """The fields of the one request."""
    (asked,) = server.asked
    assert asked.path.endswith("/v1/audio/transcriptions")
    return asked.body


async def test_openai_streams_what_it_hears(opened: Open) -> None:
    result = await hear(opened("openai"))
    assert texts(result) == [
        ("what ", False),
        ("what time ", False),
        ("what time is it", False),
        ("what time is it", True),
    ]
    assert (result[-1].provider, result[-1].end_ms) == ("openai", 1_000)


@pytest.mark.parametrize("name", ["openai:whisper-1", "groq"])
async def test_what_does_not_stream_comes_whole(opened: Open, name: str) -> None:
    assert texts(await hear(opened(name))) == [("what time is it", True)]


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_the_sound_goes_out_as_a_file_with_a_name(
    opened: Open, name: str, openai: OpenAIServer, groq: GroqServer
) -> None:
    await hear(opened(name), size=333)
    filename, file = sent(openai if name == "openai" else groq)["file"]
    with wave.open(io.BytesIO(file)) as wav:
        assert (filename, wav.getframerate(), wav.getnchannels()) == ("speech.wav", 16_000, 1)
        assert wav.readframes(wav.getnframes()) == SOUND


@pytest.mark.parametrize(
    ("name", "hint"),
    [("openai:whisper-1", "prompt"), ("openai", "keywords[]"), ("groq", "prompt")],
)
async def test_language_and_phrases_go_along(
    opened: Open, name: str, hint: str, openai: OpenAIServer, groq: GroqServer
) -> None:
    async with opened(name).listen(language="en-GB", phrases=["Talksy"]) as hearing:
        hearing.push(SOUND)
        hearing.end()
        await read(hearing)
    body = sent(groq if name == "groq" else openai)
    assert (body["language"], body[hint]) == ("en", "Talksy")


async def test_groq_says_how_sure_it_is(opened: Open) -> None:
    (heard,) = await hear(opened("groq"))
    assert heard.confidence == pytest.approx(0.819)


async def test_words_that_whisper_made_up_for_a_silence_are_left_out(
    opened: Open, groq: GroqServer
) -> None:
    made_up = segment(" Thank you.", avg_logprob=-1.4, no_speech_prob=0.9)
    groq.script(told(text=" Stop. Thank you.", segments=[segment(" Stop."), made_up]))
    groq.script(told(text=" Thank you.", segments=[made_up]))
    recognizer = opened("groq")
    assert [(await hear(recognizer))[0].text for _ in range(2)] == ["Stop.", ""]


async def test_what_is_too_short_is_not_sent(opened: Open, openai: OpenAIServer) -> None:
    assert texts(await hear(opened("openai"), SOUND[:640])) == [("", True)]
    assert openai.asked == []


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("openai:wrong-key", "auth"),
        ("groq:wrong-key", "auth"),
        ("openai:no-model", "not_found"),
        ("openai:busy", "rate_limited"),
        ("groq:no-capacity", "unavailable"),
        ("openai:html", "unavailable"),
        ("groq:html-200", "broken"),
        ("openai:html-200", "broken"),
        ("openai:junk", "broken"),
        ("openai:cut-at-once", "unavailable"),
        ("groq:silence", "timeout"),
        ("openai:silence", "timeout"),
    ],
)
async def test_a_failure_has_its_cause_and_tells_no_secret(
    opened: Open, name: str, cause: str
) -> None:
    with pytest.raises(ProviderFault) as raised:
        await hear(opened(name))
    assert raised.value.cause == cause
    assert "secret" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("then", ["end", "cut", "hang"])
async def test_a_transcript_that_breaks_off_is_a_failure(
    opened: Open, openai: OpenAIServer, then: Any
) -> None:
    openai.script(transcribed("what ", "time", done=False, then=then))
    with pytest.raises(ProviderFault) as raised:
        await hear(opened("openai"))
    assert isinstance(raised.value, ProviderTimeout) == (then == "hang")


async def test_who_is_cut_off_hangs_up_on_the_vendor(opened: Open, openai: OpenAIServer) -> None:
    openai.script(transcribed("what ", done=False, then="hang"))
    async with opened("openai").listen() as hearing:
        hearing.push(SOUND)
        hearing.end()
        assert (await anext(hearing)).text == "what "
        hearing.abort()
        assert texts(await read(hearing)) == [("what ", True)]
        await openai.disconnected.wait()


async def test_the_next_vendor_hears_what_the_first_could_not(
    opened: Open, openai: OpenAIServer, groq: GroqServer
) -> None:
    openai.script(transcribed("wh", done=False, then="cut"))
    openai.script(Scenario(status=500))
    choices = [Choice(opened(name), watcher=Unwatched()) for name in ("openai", "groq")]
    heard = await hear(FallbackRecognizer(choices))
    assert texts(heard) == [("wh", False), ("what time is it", True)]
    assert (heard[-1].provider, heard[-1].degraded) == ("groq", True)
    assert sent(groq)["file"][1].endswith(SOUND)


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_a_vendor_that_is_there_answers_a_ping(opened: Open, name: str) -> None:
    await opened(name).ping()


async def test_a_vendor_that_is_not_there_says_so() -> None:
    recognizer = open_recognizer(
        "openai", {"openai": {"api_key": "k", "base_url": "http://127.0.0.1:9/v1"}}
    )
    with pytest.raises(ProviderUnavailable) as raised:
        await recognizer.ping()
    assert raised.value.hint == "nothing listens there: check OPENAI_BASE_URL"
    await recognizer.close()
