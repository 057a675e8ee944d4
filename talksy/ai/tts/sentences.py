"""Cuts a text that is still being written into what can be spoken."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

LONGEST = 240
"""Characters of a piece; a longer sentence is cut where it breathes."""

_CLOSERS = "\"'”’»«)]*_`」』）】"
_CLOSING = f"[{re.escape(_CLOSERS)}]*"
_FULL_STOPS = "。！？｡"
"""Of scripts that put no blank after them."""
_BREAK = re.compile(rf"[.!?…]{_CLOSING}\s+|\n|[{_FULL_STOPS}]+{_CLOSING}")
_TITLES = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "sgt", "capt", "lt", "st", "sr", "sra", "mme",
    "hr", "fr", "e.g", "i.e", "z.b", "d.h", "u.a", "p.ex", "vs", "cf", "nr", "fig", "approx", "ca",
})  # fmt: skip
"""What stands before a name or a number, so that no sentence ends with it."""
_LIST_MARK = re.compile(r"\s*(?:\d{1,3}|[a-zA-Z])[.)]\s*")
_INITIAL = re.compile(r"(?:^|[\s(])[A-Z]\.$")
_CLAUSE = re.compile(r"[,;:–—]\s+|[，、；：]\s*")


class Cutter:
    """Takes a text as it comes and gives its sentences; however it came, they are the same.

    Together they are the text: each has the blanks that follow it. Whether a sentence is over shows
    with the first character of the next one.
    """

    def __init__(self) -> None:
        self._text = ""

    def cut(self, text: str) -> Iterator[str]:
        """Takes more of the text, then gives the sentences that are whole with it."""
        self._text += text
        return self._whole()

    def rest(self) -> str:
        """What is left, at the end or where nothing follows for a while."""
        text, self._text = self._text, ""
        return text

    def _whole(self) -> Iterator[str]:
        while (at := _first_end(self._text)) is not None:
            sentence, self._text = self._text[:at], self._text[at:]
            yield sentence


async def sentences(texts: AsyncIterator[str]) -> AsyncGenerator[str]:
    """The sentences of a text in pieces. An empty piece says that nothing follows for a while, so
    that what is there is given now.
    """
    cutter = Cutter()
    async for text in texts:
        for sentence in cutter.cut(text):
            yield sentence
        if not text and (rest := cutter.rest()):
            yield rest
    if rest := cutter.rest():
        yield rest


def _first_end(text: str) -> int | None:
    """Where the first sentence ends; None where that cannot be told yet."""
    for found in _BREAK.finditer(text, 0, min(len(text), LONGEST)):
        at = _past_blanks(text, found.end())
        if at >= len(text) or at > LONGEST:
            break
        if _ends(text[:at], text[at]):
            return at
    return _breath(text) if len(text) > LONGEST else None


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _ends(before: str, after: str) -> bool:
    """Whether a sentence ends between a text, which has a stop or a line's end, and the character
    after its blanks.
    """
    said = before.rstrip()
    if not said:
        return False
    if "\n" in before[len(said) :]:
        return True
    bare = said.rstrip(_CLOSERS)
    if bare[-1] in _FULL_STOPS:
        return True
    if after.islower() or _LIST_MARK.fullmatch(said):
        return False
    word = bare[:-1].rpartition(" ")[2].lower().lstrip("([\"'“‘")
    return not (bare[-1] == "." and (word in _TITLES or _INITIAL.search(bare)))


def _breath(text: str) -> int:
    """Where a sentence that is too long is cut: at a clause, else at a blank, else anywhere."""
    clauses = [found.end() for found in _CLAUSE.finditer(text, 0, LONGEST)]
    blanks = [found.end() for found in re.finditer(r"\s+", text[:LONGEST])]
    for ends in (clauses, blanks):
        if ends and ends[-1] >= LONGEST // 3:
            return ends[-1]
    return LONGEST


# ---- what is not said of it

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"\*+|`+|~~|^\s*(?:#{1,6}|>|[-•])\s+|(?<!\w)_+|_+(?!\w)", re.MULTILINE)
_UNSAID = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def said(text: str) -> str:
    """What of a text is read aloud: without the marks of Markdown and control characters; empty
    where there is no word in it.
    """
    bare = _UNSAID.sub(" ", _MARKS.sub("", _LINK.sub(r"\1", text))).strip()
    return bare if any(letter.isalnum() for letter in bare) else ""
