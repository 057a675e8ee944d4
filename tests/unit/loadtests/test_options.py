"""What a run cannot be told is said at once, by name."""

import pytest

from loadtests.options import MIXES, OptionError, read


def test_a_kind_that_is_named_comes_alone_and_one_of_nought_stays_away() -> None:
    assert read({"LOAD_MIX": "chat=3,stream=5"}).mix == {"chat": 3, "stream": 5}
    everybody = MIXES["smoke"].keys()
    assert read({"LOAD_MIX": "limiter=0"}).mix.keys() == everybody - {"limiter"}
    assert read({"LOAD_SHAPE": "ramp"}).mix == MIXES["ramp"]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"LOAD_SHAPE": "strom"}, "LOAD_SHAPE=strom is not one of smoke"),
        ({"LOAD_SHAPE": "storm", "LOAD_MIX": "storm=0"}, "leaves nobody"),
        ({"LOAD_SHAPE": "storm", "LOAD_MIX": "chat=3"}, "has chat, but only storm"),
        ({"LOAD_SHAPE": "storm", "LOAD_MIX": "chat=3,storm=1"}, "has chat, but only storm"),
        ({"LOAD_MIX": "storm=1"}, "storm alone, not to smoke"),
        ({"LOAD_SHAPE": "ramp", "LOAD_MIX": "storm=1,chat=1"}, "storm alone, not to ramp"),
        ({"LOAD_MIX": "chats=1"}, "has chats=1: say name=weight"),
        ({"LOAD_STEP": "-5"}, "LOAD_STEP=-5 is not a whole number"),
    ],
)
def test_what_cannot_be_is_named(environ: dict[str, str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        read(environ)
