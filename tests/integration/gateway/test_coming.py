"""Who is let in, what they are told, and how they go."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from talksy.database import Database
from talksy.errors import (
    ServerDraining,
    SessionExpired,
    SessionLimit,
    TokenExpired,
    TurnNotFound,
    Unauthenticated,
)
from talksy.events import (
    Active,
    Draining,
    Ending,
    Fault,
    SessionCreated,
    SessionOver,
    SessionRestored,
)
from talksy.gateway import Caps, Hello
from talksy.sessions import Life
from tests.integration.database.opened import locked, until, writing
from tests.integration.gateway.rig import House, Line, opened, session_of


async def test_who_is_new_is_told_a_new_session(house: House) -> None:
    line, connection = await house.join()
    assert line.got == [SessionCreated(session_of(connection), house.clock.now + Life().idle_ms)]
    assert house.gateway.connections == 1


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_who_brings_no_valid_token_is_refused(house: House, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await house.gateway.connect(Hello(token), "::1", Line())
    assert house.gateway.connections == 0


async def test_an_outlived_token_is_told_to_be_refreshed(house: House) -> None:
    token = await house.token()
    house.clock.now += 900_000
    with pytest.raises(TokenExpired):
        await house.gateway.connect(Hello(token), "::1", Line())


async def test_who_comes_back_is_told_what_was_said_and_what_runs(house: House) -> None:
    line, connection = await house.join()
    await line.ending(await house.say(connection, "one", message_id="m1"))
    house.cast.play("two", "hel", asyncio.Event())
    running = await house.say(connection, "two", message_id="m2")
    waiting = await house.say(connection, "three", message_id="m3")
    await line.said(running, "hel")
    house.gateway.leave(connection)
    line, back = await house.join(session_id=session_of_left(house))
    (restored,) = line.got
    assert isinstance(restored, SessionRestored)
    assert restored.session_id == session_of(back)
    assert [message.content for message in restored.history] == ["one", "hello", "two"]
    assert restored.active == [Active(running, 1), Active(waiting, -1)]


def session_of_left(house: House) -> str:
    """The one session there is."""
    (session_id,) = house.sessions._live
    return session_id


async def test_a_session_that_cannot_be_restored_is_replaced_and_it_is_said_why(
    house: House,
) -> None:
    _, theirs = await house.join("bob")
    line, _ = await house.join("ada", session_id=session_of(theirs))
    assert (await line.notice(SessionCreated)).restore_failed == "not_found"
    _, mine = await house.join("ada")
    session_id = session_of(mine)
    house.gateway.leave(mine)
    house.clock.now += Life().grace_ms
    line, _ = await house.join("ada", session_id=session_id)
    assert (await line.notice(SessionCreated)).restore_failed == "expired"
    line, again = await house.join("ada", session_id=session_id, reopen=True)
    assert session_of(again) == session_id
    assert line.notices(SessionRestored)


async def test_so_many_connections_an_account_and_an_address_have(database: Database) -> None:
    async with opened(database, caps=Caps(per_user=2, per_address=3)) as house:
        _, first = await house.join("ada", address="a")
        await house.join("ada", address="b")
        with pytest.raises(SessionLimit, match="this account"):
            await house.join("ada", address="c")
        await house.join("bob", address="a")
        await house.join("cid", address="a")
        with pytest.raises(SessionLimit, match="this address"):
            await house.join("dan", address="a")
        house.gateway.leave(first)
        house.gateway.leave(first)
        await house.join("ada", address="c")
        await house.join("dan", address="a")
        assert house.gateway.connections == 5


async def test_who_is_refused_a_session_takes_no_place(database: Database) -> None:
    async with opened(database, life=Life(per_user=1), caps=Caps(per_user=2)) as house:
        _, first = await house.join()
        for _ in range(3):
            with pytest.raises(SessionLimit, match="live sessions"):
                await house.join()
        assert house.gateway.connections == 1
        await house.join(session_id=session_of(first))


async def test_who_is_revoked_while_coming_in_is_refused(house: House) -> None:
    token = await house.token()
    line = Line()
    revoke = text("UPDATE token_families SET revoked_at = 1")
    async with writing(house.database, lambda rows: rows.execute(revoke)):
        coming = asyncio.create_task(house.gateway.connect(Hello(token), "::1", line))
        await until(lambda: house.gateway.connections == 1)
    house.auth._revoked("fam_ada_1")
    with pytest.raises(Unauthenticated):
        await coming
    assert house.gateway.connections == 0


async def test_a_revocation_closes_the_connections_of_that_login_alone(house: House) -> None:
    first, _ = await house.join(login="1")
    second, _ = await house.join(login="1")
    other, _ = await house.join(login="2")
    house.auth._revoked("fam_ada_1")
    assert [type(line.closed) for line in (first, second, other)] == [
        Unauthenticated,
        Unauthenticated,
        type(None),
    ]


# ---- coming while something happens


async def test_a_turn_that_begins_while_a_device_comes_in_is_shown_after_its_greeting(
    house: House,
) -> None:
    _, sender = await house.join()
    line, coming, greeting = await house.enter(session_id=session_of(sender))
    turn = await house.say(sender, "hi")
    await until(lambda: house.journal.running == 0)
    assert line.got == []
    await house.gateway.welcome(coming, greeting)
    await line.ending(turn)
    assert line.order() == ["SessionRestored", "Started", "Chunk", "Chunk", "Ending"]
    (restored,) = line.notices(SessionRestored)
    assert [message.content for message in restored.history] == ["hi", "hello"], "so not told again"


async def test_a_turn_that_ends_while_a_device_comes_in_is_in_its_history_or_resumed(
    house: House,
) -> None:
    sending, sender = await house.join()
    house.cast.play("hi", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(sender, "hi")
    await sending.said(turn, "hel")
    line, coming, greeting = await house.enter(session_id=session_of(sender), resume=[(turn, 0)])
    go_on.set()
    await sending.ending(turn)
    await house.gateway.welcome(coming, greeting)
    assert [message.content for message in line.notices(SessionRestored)[0].history] == [
        "hi",
        "hello",
    ]
    assert [number for number, _ in line.events(turn)] == [1, 2, 3]


async def test_what_was_missed_follows_the_greeting_and_is_not_sent_twice(house: House) -> None:
    sending, sender = await house.join()
    house.cast.play("hi", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(sender, "hi")
    await sending.said(turn, "hel")
    line, _ = await house.join(
        session_id=session_of(sender), resume=[(turn, -1), ("trn_unknown", 3), (turn, -1)]
    )
    go_on.set()
    await line.ending(turn)
    assert line.order()[0] == "SessionRestored"
    assert [number for number, _ in line.events(turn)] == [0, 1, 2, 3]
    (fault,) = line.notices(Fault)
    assert (fault.error["code"], fault.error["turnId"]) == ("TURN_NOT_FOUND", "trn_unknown")


async def test_who_goes_while_being_welcomed_leaves_no_reader(house: House) -> None:
    sending, sender = await house.join()
    house.cast.play("hi", "hel", asyncio.Event())
    turn = await house.say(sender, "hi")
    await sending.said(turn, "hel")
    _, coming, greeting = await house.enter(session_id=session_of(sender))
    resumed = await house.gateway.resume(coming, turn, -1)
    house.gateway.leave(coming)
    resumed.begin()
    await house.gateway.welcome(coming, greeting)
    with pytest.raises(TurnNotFound):
        await house.gateway._turns.resume(coming, turn, -1)
    mirror = house.journal.mirror(turn)
    assert mirror is not None
    assert len(mirror.readers) == 1, "the sender's"
    assert coming.session is None


async def test_who_goes_while_a_session_is_opened_for_it_is_not_in_it(house: House) -> None:
    _, connection = await house.join()
    house.clock.now += Life().idle_ms
    async with writing(house.database):
        saying = asyncio.create_task(house.say(connection, "hi"))
        await until(lambda: connection.session is None)
        house.gateway.leave(connection)
    await saying
    assert connection.session is None
    assert [session.sockets for session in house.sessions._live.values()] == [0, 0]


async def test_who_has_gone_is_given_nothing_more_and_its_turn_goes_on(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("hi", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(connection, "hi")
    await line.said(turn, "hel")
    session_id = session_of(connection)
    house.gateway.leave(connection)
    go_on.set()
    await until(lambda: house.journal.running == 0)
    assert line.text(turn) == "hel"
    back, _ = await house.join(session_id=session_id, resume=[(turn, 1)])
    assert [number for number, _ in back.events(turn)] == [2, 3]


# ---- the life of a session


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are looked after all the time."""
    monkeypatch.setattr("talksy.gateway.rounds.SWEEP_SECONDS", 0.002)


@pytest.mark.usefixtures("impatient", "brisk")
async def test_what_could_not_be_looked_after_is_looked_after_later(
    house: House, file: Path
) -> None:
    line, _ = await house.join()
    async with locked(file):
        house.clock.now += Life().idle_ms
        with capture_logs() as logs:
            await until(lambda: any(entry["event"] == "sweep_failed" for entry in logs))
        assert line.notices(SessionOver) == []
    await line.notice(SessionOver)


@pytest.mark.usefixtures("brisk")
async def test_a_session_that_is_over_is_told_so_and_the_next_message_opens_another(
    house: House,
) -> None:
    line, connection = await house.join()
    former = session_of(connection)
    house.clock.now += Life().idle_ms
    assert await line.notice(SessionOver) == SessionOver(former, "idle")
    assert connection.session is None
    turn = await house.say(connection, "hi")
    await line.ending(turn)
    assert line.order()[:4] == ["SessionCreated", "SessionOver", "SessionCreated", "Started"]
    assert session_of(connection) != former


async def test_a_message_may_come_before_the_session_was_said_to_be_over(house: House) -> None:
    line, connection = await house.join()
    former = session_of(connection)
    house.clock.now += Life().idle_ms
    await house.say(connection, "hi")
    assert line.order()[:3] == ["SessionCreated", "SessionOver", "SessionCreated"]
    assert session_of(connection) != former


async def test_reading_does_not_bring_a_session_back_that_is_over(house: House) -> None:
    _, connection = await house.join()
    house.clock.now += Life().idle_ms
    await house.gateway.charge(connection)
    with pytest.raises(SessionExpired):
        await house.gateway.history(connection, 10, None)
    with pytest.raises(SessionExpired):
        await house.gateway.info(connection)


async def test_reading_keeps_a_session_alive(house: House) -> None:
    _, connection = await house.join()
    house.clock.now += Life().idle_ms - 1
    await house.gateway.charge(connection)
    house.clock.now += Life().idle_ms - 1
    assert (await house.gateway.info(connection)).session_id == session_of(connection)


async def test_ending_a_session_ends_it_for_all_its_devices_and_what_runs_in_it(
    house: House,
) -> None:
    one, first = await house.join()
    two, second = await house.join(session_id=session_of(first))
    house.cast.play("hi", "hel", asyncio.Event())
    running = await house.say(first, "hi")
    waiting = await house.say(first, "more")
    house.clock.now += 5_000
    session_id = session_of(first)
    row = await house.gateway.end(first)
    assert (row.id, row.ended_at, row.duration_seconds) == (session_id, house.clock.now, 5)
    for line in (one, two):
        assert (await line.ending(running)).reason == "cancelled"
        assert (await line.ending(waiting)).reason == "cancelled"
    assert two.notices(SessionOver) == [SessionOver(session_id, "ended")]
    assert one.notices(SessionOver) == []
    assert first.session is second.session is None
    with pytest.raises(SessionExpired):
        await house.gateway.end(second)
    await house.say(second, "again")
    assert session_of(second) != session_id


async def test_a_draining_node_says_so_and_ends_what_runs(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("hi", "hel", asyncio.Event())
    turn = await house.say(connection, "hi")
    await line.said(turn, "hel")
    await house.gateway.drain(0)
    assert line.notices(Draining) == [Draining(0)]
    assert (await line.ending(turn)).reason == "interrupted"
    with pytest.raises(ServerDraining):
        await house.say(connection, "more")
    with pytest.raises(ServerDraining):
        await house.join()
    assert (await house.gateway.cancel(connection, turn)) == (turn, "interrupted")


async def test_after_a_restart_a_client_comes_back_to_its_turn(database: Database) -> None:
    async with opened(database) as house:
        line, connection = await house.join()
        house.cast.play("hi", "hel", asyncio.Event())
        turn = await house.say(connection, "hi")
        await line.said(turn, "hel")
        session_id = session_of(connection)
    async with opened(database, clock=house.clock) as next_node:
        line, _ = await next_node.join(session_id=session_id, resume=[(turn, 1)])
        number, ending = line.events(turn)[0]
        assert isinstance(ending, Ending)
        assert (number, ending.reason, ending.text) == (2, "interrupted", "hel")
