"""Text as it can be stored and sent."""

from hypothesis import given
from hypothesis import strategies as st

from talksy.messages import clean


def test_what_cannot_be_stored_is_replaced_and_the_rest_is_kept() -> None:
    assert clean("plain ä 😀") == "plain ä 😀"
    assert clean("a\0b") == "a\ufffdb"
    assert clean("\ud83d!") == "\ufffd!"
    assert clean("\ud83d\ude00") == "😀", "two halves that lie side by side"


@given(st.text(st.characters(categories=None, exclude_categories=())))
def test_any_text_becomes_one_that_can_be_encoded(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.encode().decode() == cleaned
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned
