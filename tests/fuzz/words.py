"""What nobody should send: events of every shape, packets that almost are, and noise."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from talksy.transports.socketio.contract import ASKED, TOLD

FIELDS = sorted({name for asked in ASKED.values() for name in asked.example} | {"open", "before"})
NAMES = [*ASKED, *TOLD, "connect", "disconnect", "__proto__", "constructor", ""]
ASKS = "\x00"
"""Stands in a packet where the number goes that asks for an ack."""

# Every character there is, halves of them included: JSON has an escape for each.
characters = st.characters(exclude_categories=())
texts = st.text(characters, max_size=30)
numbers = st.integers() | st.integers(-(10**40), 10**40) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
almost = st.sampled_from(
    [
        "hi",
        "/mock tokens=2",
        "queue",
        "interrupt",
        "x" * 129,
        "trn_1",
        "msg_1",
        0,
        -1,
        50,
        2**53,
        True,
    ]
)
payloads = st.dictionaries(st.sampled_from(FIELDS) | texts, almost | values, max_size=4) | values


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame; ``asks`` if it is an event that has to be acknowledged, once."""

    frame: str | bytes
    asks: bool = False


@st.composite
def events(draw: st.DrawFn) -> Packet:
    """Well-formed events, known and unknown, with payloads right and wrong."""
    name = draw(st.sampled_from([*ASKED]) | st.sampled_from(NAMES) | texts)
    usual = [ASKED[name].example] if name in ASKED else []
    arguments = draw(st.just(usual) | st.lists(payloads, max_size=2))
    asks = draw(st.booleans())
    # JSON that cannot hold NaN is written with it all the same: that is for the server to refuse.
    return Packet(f"42{ASKS if asks else ''}{json.dumps([name, *arguments])}", asks)


@st.composite
def mutants(draw: st.DrawFn) -> Packet:
    """Events with something cut out, doubled or put in between."""
    frame = str(draw(events()).frame).replace(ASKS, "7")
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(1, max(1, len(frame) - 1)))
        end = draw(st.integers(start, min(len(frame), start + 8)))
        piece = draw(
            st.sampled_from(["", '"', "{", "}", "[", "]", ",", "-", "/", "\\", "0", "1e9"])
        )
        frame = (
            frame[:start] + piece + draw(st.sampled_from(["", frame[start:end] * 2])) + frame[end:]
        )
    return Packet(frame)


START = "0 1 2 3 5 6 4 40 41 42 421 43 431 44 45 451- 450- 4510- 46 461-1 40/x, 42/x,"
headers = st.sampled_from(["", *START.split()])
noise = st.builds(
    lambda start, rest: Packet(start + rest),
    headers,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | values.map(json.dumps)
    | st.sampled_from(["[" * 5_000, '["x",{"_placeholder":true,"num":0}]', "9" * 300]),
)
frames = st.binary(max_size=60).map(Packet)
packets = events() | events() | mutants() | noise | frames


def batches(size: int) -> st.SearchStrategy[list[Packet]]:
    """So many packets: of all kinds, or events alone, since much else ends the connection."""
    kinds = st.lists(packets, min_size=size, max_size=size)
    return kinds | st.lists(events(), min_size=size, max_size=size)


def may_close(packet: Packet) -> bool:
    """Whether this may end the connection: an event never does, however wrong it is."""
    return not (isinstance(packet.frame, str) and packet.frame.startswith("42"))


def body(value: Any) -> bytes:
    """JSON as a client may write it that looks at nothing."""
    return json.dumps(value).encode()


bodies = values.map(body) | payloads.map(body) | st.binary(max_size=80)
