"""A text is cut where a reader breathes, however it came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.ai.tts.sentences import LONGEST, Cutter, said, sentences
from tests.unit.tts.script import written


def cut(text: str, size: int = 1) -> list[str]:
    cutter, pieces = Cutter(), list[str]()
    for at in range(0, len(text), size):
        pieces += cutter.cut(text[at : at + size])
    return [*pieces, *([rest] if (rest := cutter.rest()) else [])]


@pytest.mark.parametrize(
    "sentence",
    [
        "It is four o'clock.",
        "Really?!",
        "Stop!",
        "Dr. Smith and Mrs. J. R. Jones met at 5 p.m. on St. Mark's square.",
        "Pi is 3.14159, and version 2.0.1 costs $9.99.",
        "Well... perhaps.",
        "Well… perhaps.",
        'She said "Stop!" and left.',
        "Use e.g. Python, i.e. a snake.",
        "Das gilt z.B. Montag.",
        "(It is so.)",
        "“It is so.”",
        "See example.com for more.",
        "1. Wash your hands.",
        "¿Qué hora es?",
        "Это так.",
    ],
)
def test_a_sentence_is_one_piece(sentence: str) -> None:
    assert cut(f"{sentence} Then what? ") == [f"{sentence} ", "Then what? "]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("你好。今天天气很好！谢谢", ["你好。", "今天天气很好！", "谢谢"]),
        ("「はい。」と言った。次", ["「はい。」", "と言った。", "次"]),
        ("本当？！はい。", ["本当？！", "はい。"]),
        ("A list:\n- one\n- two\n\nEnd", ["A list:\n", "- one\n", "- two\n\n", "End"]),
        ("Is it? No. I think not.", ["Is it? ", "No. ", "I think not."]),
        ("no end in sight", ["no end in sight"]),
        ("", []),
    ],
)
def test_stops_and_lines_end_it(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


def test_what_is_too_long_is_cut_at_a_clause_else_at_a_blank_else_anywhere() -> None:
    clauses = "and then we went on, " * 30
    assert {piece.strip()[-3:] for piece in cut(clauses)} == {"on,"}
    assert all(piece.endswith("word ") for piece in cut("word " * 200))
    assert [len(piece) for piece in cut("x" * (LONGEST + 5))] == [LONGEST, 5]


@given(
    st.lists(
        st.sampled_from([*"ab A.!?…。\n ,\"'1)*", "Dr. ", "e.g. ", "words " * 20]), max_size=80
    ),
    st.integers(1, 300),
)
def test_it_is_the_same_however_it_came_and_nothing_is_lost(parts: list[str], size: int) -> None:
    text = "".join(parts)
    pieces = cut(text)
    assert pieces == cut(text, size) == cut(text, max(1, len(text)))
    assert "".join(pieces) == text
    assert all(pieces)
    assert max(map(len, pieces), default=0) <= LONGEST


async def test_an_empty_text_says_that_nothing_follows_for_a_while() -> None:
    texts = written("One moment.", "", " Here", " it is.")
    assert [each async for each in sentences(texts)] == ["One moment.", " Here it is."]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Bold** and `code`, _so_ called.", "Bold and code, so called."),
        ("## A title\n", "A title"),
        ("- an item\n", "an item"),
        ("See [the page](https://example.com/a_b).", "See the page."),
        ("snake_case stays, 2 * 3 does not", "snake_case stays, 2 3 does not"),
        ("two\x00 \x1blines\n", "two lines"),
        ("---\n", ""),
        ("🙂 … !", ""),
    ],
)
def test_marks_are_not_read_aloud(text: str, spoken: str) -> None:
    assert said(text) == spoken
