"""Random readers of a random turn: no gap, no repeat, the right content, one ending."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from talksy.events import Chunk, Ending, Event, Reason, ResetReason, Started, StreamReset
from talksy.journal import Mirror, Reader
from talksy.journal.mirror import opened
from tests.unit.journal.turns import turn

REASONS: list[Reason] = ["completed", "cancelled", "interrupted", "failed"]
RESETS: list[ResetReason] = ["provider_unavailable", "provider_timeout"]


@dataclass
class Client:
    """What one client has got, over all its connections."""

    reader: Reader
    first: int
    """The number after which it began."""
    got: list[tuple[int, Event | Ending]] = field(default_factory=list)
    calls: int = 0

    def wake(self) -> None:
        self.calls += 1

    @property
    def last(self) -> int:
        return self.got[-1][0] if self.got else self.first

    @property
    def shown(self) -> str:
        """What a client shows that began at the start, as the contract tells it to."""
        text = ""
        for _, event in self.got:
            match event:
                case Chunk():
                    text += event.content
                case StreamReset():
                    text = ""
                case Ending(text=str(whole)):
                    text = whole
        return text

    @property
    def ended(self) -> bool:
        return bool(self.got) and isinstance(self.got[-1][1], Ending)


class Readers(RuleBasedStateMachine):
    clients = Bundle("clients")

    @initialize(streamed=st.booleans())
    def begin(self, streamed: bool) -> None:
        self.mirror: Mirror = opened(turn(streamed=streamed))
        self.written: list[Event] = [Started("msg_1")] if streamed else []
        self.chunks = 0
        self.text = ""
        self.ending: Ending | None = None
        self.all: list[Client] = []

    @rule(text=st.text(min_size=1, max_size=5))
    def append(self, text: str) -> None:
        if self.ending is None and self.mirror.streamed:
            reading = [client for client in self.all if not client.reader.over]
            calls = [client.calls for client in reading]
            self.text += text
            self.written.append(Chunk(text, self.chunks))
            self.mirror.append(self.written[-1])
            self.chunks += 1
            assert [client.calls for client in reading] == [count + 1 for count in calls]

    @rule(reason=st.sampled_from(RESETS))
    def reset(self, reason: ResetReason) -> None:
        if self.ending is None and self.mirror.streamed:
            self.written.append(StreamReset(reason))
            self.mirror.append(self.written[-1])
            self.chunks = 0
            self.text = ""

    @rule(reason=st.sampled_from(REASONS))
    def finish(self, reason: Reason) -> None:
        if self.ending is None:
            self.ending = Ending(reason, self.text, chunks=self.chunks)
            self.mirror.finish(self.ending)

    @rule(target=clients, share=st.floats(0, 1))
    def join(self, share: float) -> Client:
        first = round(share * len(self.written)) - 1
        client = Client(Reader(self.mirror, first, lambda: client.wake()), first)
        self.all.append(client)
        return client

    @rule(client=clients, most=st.integers(1, 5))
    def take(self, client: Client, most: int) -> None:
        for _ in range(most):
            if (taken := client.reader.take()) is not None:
                client.got.append(taken)

    @rule(client=clients)
    def leave(self, client: Client) -> None:
        client.reader.close()
        assert client.reader.take() is None

    @rule(client=clients)
    def come_back(self, client: Client) -> None:
        client.reader.close()
        if not client.ended:
            client.reader = Reader(self.mirror, client.last, client.wake)

    @rule(client=clients)
    def come_back_without_an_ack_of_the_ending(self, client: Client) -> None:
        client.reader.close()
        if client.ended:
            former = client.got.pop()
            client.reader = Reader(self.mirror, client.last, client.wake)
            assert client.reader.take() == former
            client.got.append(former)

    @invariant()
    def numbers_follow_one_another(self) -> None:
        for client in self.all:
            numbers = [number for number, _ in client.got]
            assert numbers == list(range(client.first + 1, client.first + 1 + len(numbers)))

    @invariant()
    def each_number_has_its_event(self) -> None:
        for client in self.all:
            body = client.got[:-1] if client.ended else client.got
            for number, event in body:
                assert event == self.written[number]

    @invariant()
    def an_ending_is_the_last_and_tells_the_text_unless_it_was_given(self) -> None:
        for client in self.all:
            if not client.ended:
                continue
            number, ending = client.got[-1]
            assert isinstance(ending, Ending)
            assert self.ending is not None
            assert number == len(self.written)
            assert ending.reason == self.ending.reason
            given = ending.reason == "completed" and self.mirror.streamed
            assert ending.text == (None if given else self.ending.text)

    @invariant()
    def who_saw_it_all_shows_the_answer_and_nothing_that_is_void(self) -> None:
        for client in self.all:
            if client.ended and client.first == -1:
                assert client.shown == self.text

    @invariant()
    def indexes_count_from_each_reset(self) -> None:
        expected = 0
        for event in self.written:
            if isinstance(event, Chunk):
                assert event.index == expected
                expected += 1
            else:
                expected = 0

    @invariant()
    def who_has_left_is_forgotten(self) -> None:
        reading = {client.reader for client in self.all if not client.reader.over}
        assert set(self.mirror.readers) == reading

    def teardown(self) -> None:
        if not hasattr(self, "mirror"):
            return
        self.finish("completed")
        for client in self.all:
            self.come_back(client)
            self.take(client, len(self.written) + 2)
            assert client.ended, "each client gets to the end"
        self.an_ending_is_the_last_and_tells_the_text_unless_it_was_given()


Readers.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, database=None
)
TestReaders = Readers.TestCase
