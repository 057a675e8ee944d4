"""Who has which names, and who may use them."""

import pytest

from talksy.errors import Forbidden, PayloadTooLarge, ToolDenied, ToolNotFound
from talksy.tools import BASIC, ToolBounds, Toolbox, ToolClash
from tests.unit.tools.tools import named


def test_two_tools_of_one_name_are_refused_and_both_places_named() -> None:
    box = Toolbox([named("look", "shop.tools")])
    with pytest.raises(ToolClash, match=r"look: one of shop\.tools, one of more\.tools"):
        box.add(named("look", "more.tools"))


def test_a_source_changes_its_tools_at_once() -> None:
    box = Toolbox([named("own")])
    box.replace("server", [named("a", "server"), named("b", "server")])
    box.replace("server", [named("b", "server"), named("c", "server")])
    assert [each.name for each in box.all()] == ["b", "c", "own"]
    assert box.sources() == ["server", "tests"]


def test_a_clash_costs_only_the_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    box = Toolbox([named("own")])
    box.replace("server", [named("own", "server"), named("other", "server")])
    assert [(each.name, each.source) for each in box.all()] == [
        ("other", "server"),
        ("own", "tests"),
    ]
    assert "tool_clash" in capsys.readouterr().out


def test_what_is_offered_is_what_may_be_used() -> None:
    box = Toolbox([named("a"), named("b", scope="shop:read"), named("c", policy="deny")])
    assert [each.name for each in box.offered({BASIC})] == ["a"]
    assert [each.name for each in box.offered({BASIC, "shop:read"})] == ["a", "b"]
    assert box.offered(()) == []


def test_what_may_not_be_used_says_why() -> None:
    box = Toolbox([named("a"), named("b", scope="shop:read"), named("c", policy="deny")])
    assert box.find("a", {BASIC}).definition.name == "a"
    with pytest.raises(Forbidden, match="shop:read"):
        box.find("b", {BASIC})
    with pytest.raises(ToolDenied, match="c may not be used"):
        box.find("c", {BASIC})


def test_a_slip_of_the_pen_is_told_the_nearest_name_but_no_secret_one() -> None:
    box = Toolbox([named("get_order_status"), named("get_order_secret", scope="admin")])
    with pytest.raises(ToolNotFound, match="did you mean get_order_status"):
        box.find("get_orders_status", {BASIC})
    with pytest.raises(ToolNotFound, match="list_tools"):
        box.find("get_order_secre" + 1000 * "t", {BASIC})


def test_parameters_that_are_too_long_are_refused() -> None:
    box = Toolbox(bounds=ToolBounds(parameter_bytes=20))
    assert box.check(named("a"), {"text": "short"}) == {"text": "short"}
    with pytest.raises(PayloadTooLarge, match="21 bytes: 20 are allowed"):
        box.check(named("a"), {"text": 10 * "x"})
