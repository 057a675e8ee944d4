"""What the server says of itself."""

from typing import Any

import pytest

from talksy.transports.rest.health import overall
from tests.integration.rest.conftest import Rig


async def get(rig: Rig, path: str) -> tuple[int, Any]:
    answer = await rig.client.get(path)
    return answer.status, await answer.json()


async def test_the_root_says_who_is_here(rig: Rig) -> None:
    status, body = await get(rig, "/")
    assert status == 200
    assert (body["name"], body["version"], body["status"]) == ("talksy", "1.2.3", "ok")


async def test_health_is_the_process_alone(rig: Rig) -> None:
    rig.health.readiness = "down"
    rig.health.components = {"database": {"state": "down"}}
    status, body = await get(rig, "/health")
    assert status == 200
    assert body.pop("uptime") >= 0
    assert body == {"status": "ok", "version": "1.2.3", "connections": 3}


@pytest.mark.parametrize(
    ("states", "status", "code"),
    [
        (["ok", "ok"], "ok", 200),
        (["ok", "degraded"], "degraded", 200),
        (["degraded", "down"], "down", 503),
    ],
)
async def test_the_details_name_the_worst_openly(
    rig: Rig, states: list[str], status: str, code: int
) -> None:
    rig.health.components = {
        f"part{number}": {"state": state, "latencyMs": 1.5} for number, state in enumerate(states)
    }
    answer = await rig.client.get("/health/detailed")
    body = await answer.json()
    assert (answer.status, body["status"]) == (code, status)
    assert body["components"] == rig.health.components
    assert body.keys() == {"status", "version", "uptime", "components"}
    assert ("Retry-After" in answer.headers) == (code == 503)


def test_a_component_that_says_nothing_we_know_is_down() -> None:
    assert overall({"part": {}}) == "down"
    assert overall({}) == "ok"


@pytest.mark.parametrize("probe", ["live", "ready"])
async def test_a_probe_is_200_or_503(rig: Rig, probe: str) -> None:
    assert await get(rig, f"/health/{probe}") == (200, {"status": "ok"})
    rig.health.alive, rig.health.readiness = False, "down"
    answer = await rig.client.get(f"/health/{probe}")
    assert (answer.status, (await answer.json())["code"]) == (503, "SERVER_DRAINING")
    assert answer.headers["Retry-After"] == "1"


async def test_who_serves_with_less_takes_new_work_and_says_so(rig: Rig) -> None:
    rig.health.readiness = "degraded"
    assert await get(rig, "/health/ready") == (200, {"status": "degraded"})


async def test_head_is_answered_like_get_without_a_body(rig: Rig) -> None:
    answer = await rig.client.head("/health")
    assert (answer.status, await answer.read()) == (200, b"")
