"""What the mock model says to people."""

import pytest

from talksy.ai.llm.replies import reply, report


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello!", "Hello! How can I help"),
        ("HI", "Hello! How can I help"),
        ("hey, you", "Hello! How can I help"),
        ("help", "OPENAI_API_KEY"),
        ("Hello, who are you?", "mock model"),
        ("how are   you", "I am well"),
        ("thanks a lot", "welcome"),
        ("Thank you.", "welcome"),
        ("bye", "Goodbye"),
        ("what time is it", "clock"),
        ("How is the weather?", "window"),
        ("tell me a joke", "socket"),
    ],
)
def test_a_keyword_gets_its_reply(text: str, told: str) -> None:
    assert told in reply(text)


@pytest.mark.parametrize("text", ["this", "they sometimes shine", "helpless", "whether", "a_hi_b"])
def test_a_keyword_inside_another_word_is_not_heard(text: str) -> None:
    expected = "Hello" if text == "a_hi_b" else f'"{text}"'
    assert expected in reply(text)


def test_anything_else_is_repeated() -> None:
    assert '"My order is late, ünïcödé 🙂"' in reply("My order\n is late, ünïcödé 🙂 ")


def test_a_long_text_is_repeated_in_part() -> None:
    assert f'"{"x" * 200}…"' in reply("x" * 5000)


def test_silence_is_asked_about() -> None:
    assert "nothing" in reply(" \n ")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('{"untrusted": true, "result": {"balance": 1.5}}', 'find says: {"balance":1.5}'),
        ('{"untrusted": true, "result": "two words"}', "find says: two words"),
        ('{"untrusted": true, "result": null}', "find says: null"),
        ('{"error": {"code": "TOOL_TIMEOUT", "message": "too late"}}', "find failed: too late"),
        ('{"error": {"code": "TOOL_DENIED", "message": "no"}}', "find was refused: no"),
        ('{"error": {"code": "APPROVAL_EXPIRED", "message": "no"}}', "find was refused: no"),
        ("plain text", "find says: plain text"),
        ("[1]", "find says: [1]"),
        ('{"error": 3}', 'find says: {"error": 3}'),
    ],
)
def test_what_a_tool_came_to_is_told_in_a_sentence(told: str, said: str) -> None:
    assert report("find", told) == said


def test_of_a_long_result_the_beginning_is_told() -> None:
    assert report("find", f'{{"result": "{"x" * 5000}"}}') == f"find says: {'x' * 2000}…"
