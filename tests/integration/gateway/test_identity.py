"""Guests, and tokens that run out or are replaced while somebody is connected."""

import asyncio

import pytest
from structlog.testing import capture_logs

from talksy.auth import AccessTokens
from talksy.database import Database
from talksy.errors import (
    Forbidden,
    RateLimited,
    SessionLimit,
    TalksyError,
    TokenExpired,
    Unauthenticated,
    ValidationError,
)
from talksy.events import AuthExpiring, Limited, Notice, SessionCreated, SessionRestored
from talksy.gateway import Caps, Hello, Rules
from tests.integration.gateway.rig import RULES, House, Line, opened, session_of

MINUTE = 60_000
ACCESS_MS = 900_000
GUEST_MS = 2_592_000_000


async def test_who_brings_no_token_is_a_guest_and_comes_back_with_the_one_it_is_given(
    house: House,
) -> None:
    line, guest = await house.visit()
    assert guest.user_id.startswith("gst_")
    assert guest.identity.scope == "tools:basic"
    (created,) = line.got
    assert isinstance(created, SessionCreated)
    house.gateway.leave(guest)
    line, again = await house.visit(created.guest_token, session_id=created.session_id)
    assert again.user_id == guest.user_id
    assert (await line.notice(SessionRestored)).guest_token is None, "it has one"


async def test_a_guest_whose_token_is_half_through_is_given_a_fresh_one(house: House) -> None:
    line, guest = await house.visit()
    token = (await line.notice(SessionCreated)).guest_token
    house.clock.now += GUEST_MS // 2
    line, _ = await house.visit(token)
    assert (await line.notice(SessionCreated)).guest_token is None
    house.clock.now += 1_000
    line, _ = await house.visit(token)
    fresh = (await line.notice(SessionCreated)).guest_token
    house.clock.now += GUEST_MS // 2
    assert (await house.visit(fresh))[1].user_id == guest.user_id
    with pytest.raises(TokenExpired):
        await house.visit(token)


async def test_without_guests_nobody_is_one_whatever_it_was_before(database: Database) -> None:
    async with opened(database) as house:
        line, _ = await house.visit()
        token = (await line.notice(SessionCreated)).guest_token
    async with opened(database, guest_ttl_ms=None) as strict:
        for brought in (None, token):
            with pytest.raises(Unauthenticated):
                await strict.visit(brought)
        assert strict.gateway.connections == 0


async def test_an_address_has_so_many_guests_however_often_each_is_connected(
    database: Database,
) -> None:
    async with opened(database, caps=Caps(guests_per_address=2)) as house:
        line, first = await house.visit(address="a")
        token = (await line.notice(SessionCreated)).guest_token
        _, second = await house.visit(address="a")
        await house.visit(token, address="a")
        with pytest.raises(SessionLimit, match="2 guests"):
            await house.visit(address="a")
        await house.visit(address="b")
        await house.join(address="a")
        house.gateway.leave(first)
        with pytest.raises(SessionLimit):
            await house.visit(address="a")
        house.gateway.leave(second)
        await house.visit(address="a")


async def test_new_guests_of_an_address_are_paced_and_others_are_not(database: Database) -> None:
    async with opened(database, rules=Rules(newcomers=2)) as house:
        line, _ = await house.visit()
        await house.visit()
        with pytest.raises(RateLimited) as refused:
            await house.visit()
        assert refused.value.retry_after == 60
        await house.visit((await line.notice(SessionCreated)).guest_token)
        await house.visit(address="elsewhere")
        await house.join()


async def test_a_new_guest_is_no_way_around_the_limit(house: House) -> None:
    line, guest = await house.visit()
    for _ in range(RULES.messages):
        await line.ending(await house.say(guest, "hi"))
    house.gateway.leave(guest)
    line, another = await house.visit()
    with pytest.raises(RateLimited):
        await house.say(another, "hi")
    (limited,) = line.notices(Limited)
    assert (limited.scope, limited.remaining, limited.retry_after) == ("messages", 0, 60)
    await house.say((await house.visit(address="elsewhere"))[1], "hi")
    await house.say((await house.join())[1], "hi")


async def test_another_address_is_no_way_around_it_either(house: House) -> None:
    line, guest = await house.visit()
    token = (await line.notice(SessionCreated)).guest_token
    for _ in range(RULES.messages):
        await line.ending(await house.say(guest, "hi"))
    _, moved = await house.visit(token, address="elsewhere")
    with pytest.raises(RateLimited):
        await house.say(moved, "hi")
    line, other = await house.visit(address="elsewhere")
    for _ in range(RULES.messages):  # what was refused there was given back
        await line.ending(await house.say(other, "hi"))


async def test_a_message_of_a_guest_that_is_said_again_costs_its_address_nothing(
    house: House,
) -> None:
    line, guest = await house.visit()
    for _ in range(RULES.messages):
        await house.say(guest, "hi", message_id="m")
    await house.say((await house.visit())[1], "hi")
    assert [notice.scope for notice in line.notices(Limited)] == []


# ---- tokens that run out


def closed(line: Line) -> type[TalksyError] | None:
    """What a client was told when it was closed."""
    return type(line.closed) if line.closed else None


def look(house: House, later_ms: int = 0) -> None:
    """Time goes by, and the tokens are looked at."""
    house.clock.now += later_ms
    house.gateway._expiry.look()


async def test_a_client_is_told_a_minute_before_its_token_runs_out_and_closed_ten_seconds_after(
    house: House,
) -> None:
    line, _ = await house.join()
    ends = house.clock.now + ACCESS_MS
    look(house, ACCESS_MS - MINUTE - 1)
    assert line.notices(AuthExpiring) == []
    look(house, 1)
    look(house, MINUTE + 9_999)
    assert line.notices(AuthExpiring) == [AuthExpiring(ends)]
    assert closed(line) is None
    look(house, 1)
    assert closed(line) is TokenExpired


async def test_who_connects_with_a_token_that_runs_out_is_told_after_its_session(
    house: House,
) -> None:
    token = await house.token()
    house.clock.now += ACCESS_MS - 1_000
    line = Line()
    connection = await house.gateway.connect(Hello(token), "::1", line)
    look(house)
    assert line.got == []
    await house.gateway.welcome(connection, Hello(token))
    assert line.order() == ["SessionCreated", "AuthExpiring"]


@pytest.mark.parametrize(
    ("life_ms", "told_at"), [(120_000, 60_000), (61_000, 30_500), (2_000, 1_000)]
)
async def test_who_brings_a_brief_token_is_told_of_it_half_way_through(
    house: House, life_ms: int, told_at: int
) -> None:
    """A client that brings another whenever it is told so would be told all the time."""
    line, connection = await house.join()
    brief = AccessTokens(["s" * 32], ttl_ms=life_ms)
    token = brief.sign("usr_ada", "fam_ada_1", now=house.clock.now).text
    await house.gateway.renew(connection, token)
    look(house, told_at - 1)
    assert line.notices(AuthExpiring) == []
    look(house, 1)
    assert len(line.notices(AuthExpiring)) == 1


async def test_a_guest_is_told_with_the_token_to_go_on_with(house: House) -> None:
    line, guest = await house.visit()
    look(house, GUEST_MS - MINUTE)
    (notice,) = line.notices(AuthExpiring)
    assert await house.gateway.renew(guest, notice.guest_token) == house.clock.now + GUEST_MS
    look(house, MINUTE + 20_000)
    assert closed(line) is None


class Broken(Line):
    """Fails at whatever it is told."""

    def tell(self, notice: Notice) -> None:
        raise RuntimeError(notice)


async def test_a_socket_that_cannot_be_told_keeps_no_other_from_it(house: House) -> None:
    token = await house.token("bob")
    await house.gateway.connect(Hello(token), "::1", broken := Broken())
    broken_connection = next(iter(house.gateway._registry.all))
    broken_connection.release()
    line, _ = await house.join()
    with capture_logs() as logs:
        look(house, ACCESS_MS)
    assert [entry["event"] for entry in logs] == ["expiry_failed"]
    assert line.notices(AuthExpiring) != []
    look(house, 10_000)
    assert closed(broken) is closed(line) is TokenExpired


async def test_the_node_looks_at_its_tokens_by_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, _ = await house.join()
    house.clock.now += ACCESS_MS
    monkeypatch.setattr("talksy.gateway.expiry.LOOK_SECONDS", 0.002)
    await line.notice(AuthExpiring)


async def test_who_brings_another_token_stays_and_is_told_again_of_that_one(house: House) -> None:
    line, connection = await house.join()
    session_id = session_of(connection)
    look(house, ACCESS_MS - MINUTE)
    ends = house.clock.now + ACCESS_MS
    assert await house.gateway.renew(connection, await house.token()) == ends
    look(house, MINUTE + 10_000)
    assert closed(line) is None
    assert session_of(connection) == session_id
    look(house, ACCESS_MS - 2 * MINUTE - 10_000)
    assert line.notices(AuthExpiring)[1:] == [AuthExpiring(ends)]


async def test_a_token_that_is_no_good_leaves_the_connection_as_it_was(house: House) -> None:
    line, connection = await house.join()
    before = connection.identity
    outlived = await house.token()
    look(house, ACCESS_MS)
    guest = (await (await house.visit())[0].notice(SessionCreated)).guest_token
    for token, refusal in (
        ("nonsense", Unauthenticated),
        (outlived, TokenExpired),
        (await house.token("bob"), Forbidden),
        (guest, Forbidden),
    ):
        with pytest.raises(refusal):
            await house.gateway.renew(connection, token)
    assert connection.identity is before
    look(house, 10_000)
    assert closed(line) is TokenExpired


async def test_a_connection_belongs_to_the_login_of_its_newest_token(house: House) -> None:
    line, connection = await house.join(login="1")
    await house.gateway.renew(connection, await house.token(login="2"))
    house.auth._revoked("fam_ada_1")
    assert closed(line) is None
    house.auth._revoked("fam_ada_2")
    assert closed(line) is Unauthenticated
    house.gateway.leave(connection)
    assert house.gateway._registry.family("fam_ada_2") == ()


async def test_who_has_gone_while_its_token_was_read_is_in_no_list(house: House) -> None:
    _, connection = await house.join(login="1")
    token = await house.token(login="2")
    renewing = asyncio.create_task(house.gateway.renew(connection, token))
    await asyncio.sleep(0)
    house.gateway.leave(connection)
    await renewing
    assert house.gateway._registry.family("fam_ada_2") == ()
    assert house.gateway.connections == 0


async def test_a_clock_that_is_set_forward_leaves_everybody_time_to_bring_another(
    house: House,
) -> None:
    line, connection = await house.join()
    look(house, 86_400_000)
    assert line.notices(AuthExpiring) != []
    look(house, 9_999)
    assert closed(line) is None
    await house.gateway.renew(connection, await house.token())
    look(house, 1_000)
    assert closed(line) is None


async def test_a_clock_that_is_set_back_closes_nobody_early(house: House) -> None:
    line, _ = await house.join()
    look(house, ACCESS_MS - MINUTE)
    look(house, -3_600_000)
    look(house, 3_600_000 + MINUTE)
    assert closed(line) is None
    look(house, 10_000)
    assert closed(line) is TokenExpired


async def test_a_turn_goes_on_when_the_token_of_who_asked_runs_out(house: House) -> None:
    line, connection = await house.join()
    look(house, ACCESS_MS - 1)
    house.cast.play("hi", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(connection, "hi")
    await line.said(turn, "hel")
    session_id = session_of(connection)
    look(house, 10_001)
    assert closed(line) is TokenExpired
    house.gateway.leave(connection)
    go_on.set()
    back, _ = await house.join(session_id=session_id, resume=[(turn, 1)])
    await back.ending(turn)
    assert [number for number, _ in back.events(turn)] == [2, 3]


# ---- what may be said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a\0b", "has a NUL character"),
        ("a\ud83db", "has half of a surrogate pair"),
        (" \n", "is empty"),
    ],
)
async def test_a_text_that_cannot_be_kept_is_refused_by_name(
    house: House, text: str, fault: str
) -> None:
    _, connection = await house.join()
    with pytest.raises(ValidationError) as refused:
        await house.say(connection, text)
    assert refused.value.faults == (("text", fault),)


async def test_any_other_text_is_taken_whole(house: House) -> None:
    """A character of each plane, and those that mean something elsewhere."""
    line, connection = await house.join()
    text = (
        "".join(chr(plane * 0x10000 + 0x1FE) for plane in range(17))
        + "\x01\x7f\ufffd\ufeff\u202e'\"\\"
    )
    await line.ending(await house.say(connection, text))
    assert (await house.gateway.history(connection, 2, None))[0].content == text
