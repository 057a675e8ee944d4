"""What is counted is what happened, under names that nobody outside can make."""

import asyncio
import logging

import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from talksy.errors import EmailTaken
from talksy.events import Ending, Fault
from talksy.messages import Usage
from talksy.metrics import Metrics, Tally
from talksy.transports.socketio.engine import Engine, Socket
from talksy.transports.socketio.outbox import HARD_LIMIT, Outbox


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of a name by those of its labels, sorted by the labels' names."""
    text, _ = metrics.render()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == f"talksy_{name}"
    }


def test_a_tally_shows_what_the_librarys_histogram_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally(ours, "seconds", "Seconds.", (0.1, 1.0))
    histogram = Histogram("seconds", "Seconds.", buckets=(0.1, 1.0), registry=theirs)
    for value in (0.05, 0.1, 0.100001, 1.0, 7.0):
        tally.add(value)
        histogram.observe(value)
    names = ["seconds_count", "seconds_sum"]
    assert tally.count == 5
    for name, labels in [(name, {}) for name in names] + [
        ("seconds_bucket", {"le": bound}) for bound in ("0.1", "1.0", "+Inf")
    ]:
        assert ours.get_sample_value(name, labels) == theirs.get_sample_value(name, labels)


def test_two_nodes_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.turns.ended(Ending("completed", "text"), streamed=True, seconds=0.1)
    assert series(one, "turns_total")["completed", "true"] == 1
    assert series(other, "turns_total")["completed", "true"] == 0


def test_a_model_that_is_not_of_the_configuration_is_no_label() -> None:
    metrics = Metrics()
    metrics.providers.know("openai", "gpt")
    for model in ("gpt", "one", "two"):
        metrics.providers.called("openai", model, "ok", 0.1)
        ending = Ending("completed", "x", provider="openai", model=model, usage=Usage(1, 2))
        metrics.turns.ended(ending, streamed=True, seconds=0.1)
    assert series(metrics, "provider_calls_total") == {
        ("gpt", "ok", "openai"): 1,
        ("other", "ok", "other"): 2,
    }
    assert series(metrics, "tokens_total")["output", "other", "other"] == 4


def test_a_code_that_is_none_of_ours_is_no_label() -> None:
    metrics = Metrics()
    for code in ("PROVIDER_TIMEOUT", "MADE_UP", None):
        ending = Ending("failed", "", error={"code": code})
        metrics.turns.ended(ending, streamed=False)
    assert series(metrics, "turn_failures_total") == {("PROVIDER_TIMEOUT",): 1, ("other",): 2}


def test_an_attempt_is_counted_by_how_it_ends() -> None:
    metrics = Metrics()
    with metrics.attempt("register"):
        pass
    with pytest.raises(EmailTaken), metrics.attempt("register"):
        raise EmailTaken
    with pytest.raises(KeyError), metrics.attempt("register"):
        raise KeyError
    assert series(metrics, "auth_attempts_total") == {
        ("register", "ok"): 1,
        ("register", "EMAIL_TAKEN"): 1,
        ("register", "error"): 1,
    }


async def test_lines_of_the_log_are_counted_by_their_event_alone() -> None:
    metrics, log = Metrics(), logging.getLogger("talksy.somewhere")
    async with metrics.watching():
        log.warning({"event": "database_away", "reason": "x"})
        log.warning("free text of one user")
        log.warning({"event": "Free text of another"})
        log.info({"event": "request"})
    log.warning({"event": "database_away"})
    assert series(metrics, "log_lines_total") == {
        ("database_away", "warning"): 1,
        ("other", "warning"): 2,
    }


async def test_a_loop_that_stands_still_is_seen() -> None:
    metrics = Metrics()
    async with metrics.watching():
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.4
        while loop.time() < until:
            pass
        await asyncio.sleep(0.01)  # its time has passed before this one's
    assert series(metrics, "loop_lag_seconds_sum")[()] > 0.1


async def test_a_socket_that_is_hung_up_on_is_counted() -> None:
    metrics, socket = Metrics(), Socket(Engine(), "sid")
    outbox = Outbox(socket, lambda _: None, patience=60, metrics=metrics)
    outbox.open()
    for _ in range(3):
        outbox.tell(Fault({"code": "INTERNAL_ERROR", "message": "x" * HARD_LIMIT}))
    assert series(metrics, "slow_consumers_total") == {("queue_full",): 1}
