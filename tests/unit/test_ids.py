"""Identifiers: form, and that none is given twice."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from talksy.ids import FETCHED, new_id, random_text


def test_an_id_is_its_kind_and_128_bits() -> None:
    assert re.fullmatch(r"ses_[A-Za-z0-9_-]{22}", new_id("ses"))


def test_none_comes_twice_whoever_asks() -> None:
    def some(_: int) -> list[str]:
        return [random_text() for _ in range(FETCHED * 3)]

    with ThreadPoolExecutor(8) as threads:
        given = [text for texts in threads.map(some, range(32)) for text in texts]
    assert len(set(given)) == len(given)


def test_a_child_does_not_give_what_its_parent_gives() -> None:
    random_text()  # others lie ready now
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, random_text().encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(ours, 100).decode()
    os.close(ours)
    os.close(theirs)
    assert len(told) == 22
    assert told not in {random_text() for _ in range(FETCHED)}
