"""Speech of both vendors, through the real SDKs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from talksy.ai.llm import Choice, Unwatched
from talksy.ai.tts import FallbackSynthesizer, Synthesizer, open_synthesizer
from talksy.errors import ProviderFault
from tests.unit.tts.script import spoken, words, written
from tests.vendors.audio import hum, wav
from tests.vendors.audio import spoken as sound
from tests.vendors.groq_server import GroqServer
from tests.vendors.openai_server import OpenAIServer

Open = Callable[[str], Synthesizer]
TEXT = "It is four. Now it is five, and it will soon be six."


@pytest.fixture
async def opened(openai: OpenAIServer, groq: GroqServer) -> AsyncIterator[Open]:
    """Opens synthesizers by name; each gives up on a silence of 300 ms."""
    options = {
        "openai": {"api_key": "sk-secret", "base_url": openai.url, "read_timeout": 0.3},
        "groq": {"api_key": "gsk-secret", "base_url": groq.url, "read_timeout": 0.3},
    }
    async with AsyncExitStack() as stack:

        def one(name: str) -> Synthesizer:
            synthesizer = open_synthesizer(name, options)
            stack.push_async_callback(synthesizer.close)
            return synthesizer

        yield one


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_a_text_is_spoken_to_its_end(opened: Open, name: str) -> None:
    pieces = await spoken(opened(name), TEXT)
    letters = len("It is four.") + len("Now it is five, and it will soon be six.")
    assert "".join(words(pieces)) == TEXT
    assert b"".join(piece.pcm for piece in pieces) == hum(letters)
    assert {piece.provider for piece in pieces} == {name}


@pytest.mark.parametrize(("name", "form"), [("openai", "pcm"), ("groq", "wav")])
async def test_sentence_after_sentence_is_asked_for(
    opened: Open, name: str, form: str, openai: OpenAIServer, groq: GroqServer
) -> None:
    await spoken(opened(name), "One. **Two**.", voice="alba")
    asked = (openai if name == "openai" else groq).asked
    assert [each.body["input"] for each in asked] == ["One.", "Two."]
    for each in asked:
        assert each.path.endswith("/v1/audio/speech")
        assert (each.body["voice"], each.body["response_format"]) == ("alba", form)


async def test_speech_begins_before_its_sentence_is_made(
    opened: Open, openai: OpenAIServer
) -> None:
    openai.script(sound(hum(60), then="hang"))
    async with aclosing(opened("openai").stream(written(TEXT))) as pieces:
        assert (await anext(pieces)).duration_ms >= 400
    await openai.disconnected.wait()


async def test_what_comes_at_another_rate_is_resampled(opened: Open, groq: GroqServer) -> None:
    groq.script(sound(wav(hum(100), rate=48_000), "audio/wav"))
    (piece,) = await spoken(opened("groq"), "One.")
    assert piece.duration_ms == pytest.approx(1_000, abs=1)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("openai:wrong-key", "auth"),
        ("groq:no-model", "not_found"),
        ("groq:busy", "rate_limited"),
        ("openai:html", "unavailable"),
        ("openai:html-200", "broken"),
        ("groq:html-200", "broken"),
        ("groq:cut-at-once", "unavailable"),
        ("openai:silence", "timeout"),
    ],
)
async def test_a_failure_has_its_cause_and_tells_no_secret(
    opened: Open, name: str, cause: str
) -> None:
    with pytest.raises(ProviderFault) as raised:
        await spoken(opened(name), TEXT)
    assert raised.value.cause == cause
    assert "secret" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(("then", "cause"), [("cut", "unavailable"), ("hang", "timeout")])
async def test_speech_that_breaks_off_is_a_failure(
    opened: Open, openai: OpenAIServer, then: Any, cause: str
) -> None:
    openai.script(sound(hum(60), then=then))
    with pytest.raises(ProviderFault) as raised:
        await spoken(opened("openai"), TEXT)
    assert raised.value.cause == cause


async def test_no_sound_at_all_is_a_failure(opened: Open, openai: OpenAIServer) -> None:
    openai.script(sound(b""))
    with pytest.raises(ProviderFault):
        await spoken(opened("openai"), TEXT)


async def test_the_next_voice_takes_over_before_the_first_sound(opened: Open) -> None:
    names = ("openai:wrong-key", "groq")
    choices = [Choice(opened(name), watcher=Unwatched()) for name in names]
    pieces = await spoken(FallbackSynthesizer(choices), TEXT)
    assert "".join(words(pieces)) == TEXT
    assert {(piece.provider, piece.degraded) for piece in pieces} == {("groq", True)}
