"""Voice profiles over REST: one's own, laid over those that are built in."""

from dataclasses import dataclass
from typing import Any

import pytest

from talksy.database.profiles import MOST_PROFILES
from tests.integration.rest.conftest import Rig, Serve

PATH = "/v1/voice/profiles"
Json = dict[str, Any]


@dataclass
class User:
    """Somebody who is logged in."""

    rig: Rig
    token: str

    @classmethod
    async def register(cls, rig: Rig, email: str = "ada@example.com") -> "User":
        return cls(rig, (await rig.register(email=email))["accessToken"])

    async def ask(self, method: str, path: str = PATH, body: Any = None) -> tuple[int, Any]:
        """The status and the body of the answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.rig.client.request(method, path, json=body, headers=headers)
        return answer.status, await answer.json(content_type=None) if answer.status != 204 else None


@pytest.fixture
async def ada(rig: Rig) -> User:
    return await User.register(rig)


async def test_the_built_in_profiles_are_there_for_everybody(ada: User) -> None:
    status, profiles = await ada.ask("GET")
    assert status == 200
    assert [(it["name"], it["autoStart"], it["builtIn"]) for it in profiles] == [
        ("vad-triggered", True, True),
        ("wake-word", False, True),
    ]
    assert profiles[1]["wakeWord"]["phrase"] == "jarvis"
    assert await ada.ask("GET", f"{PATH}/wake-word") == (200, profiles[1])


async def test_an_own_profile_is_laid_over_its_base_however_deep(ada: User) -> None:
    desk = {"name": "desk", "base": "wake-word", "turnDetection": {"silenceDurationMs": 900}}
    status, made = await ada.ask("POST", body=desk)
    assert status == 201
    assert (made["base"], made["builtIn"], made["wakeWord"]["listenMs"]) == (
        "wake-word",
        False,
        30_000,
    )
    detection = made["turnDetection"]
    assert (detection["silenceDurationMs"], detection["threshold"]) == (900, 0.4)
    assert await ada.ask("GET", f"{PATH}/desk") == (200, made)
    assert (await ada.ask("GET"))[1][2:] == [made]


async def test_a_profile_of_the_same_name_is_replaced_not_mended(ada: User) -> None:
    await ada.ask("POST", body={"name": "desk", "language": "de", "autoStart": False})
    status, replaced = await ada.ask("POST", body={"name": "desk", "wakeWord": None})
    assert (status, replaced["language"], replaced["autoStart"]) == (200, "en", True)


async def test_a_profile_that_was_deleted_is_gone(ada: User) -> None:
    await ada.ask("POST", body={"name": "desk"})
    assert await ada.ask("DELETE", f"{PATH}/desk") == (204, None)
    for method in ("GET", "DELETE"):
        status, problem = await ada.ask(method, f"{PATH}/desk")
        assert (status, problem["code"]) == (404, "NOT_FOUND")


async def test_what_is_built_in_cannot_be_replaced_or_deleted(ada: User) -> None:
    for method, path, body in (
        ("POST", PATH, {"name": "wake-word"}),
        ("DELETE", f"{PATH}/wake-word", None),
    ):
        status, problem = await ada.ask(method, path, body)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
        assert "wake-word is built in" in problem["message"]


async def test_profiles_are_their_users_alone(rig: Rig, ada: User) -> None:
    bob = await User.register(rig, "bob@example.com")
    await ada.ask("POST", body={"name": "desk"})
    assert (await bob.ask("GET", f"{PATH}/desk"))[0] == 404
    assert (await bob.ask("DELETE", f"{PATH}/desk"))[0] == 404
    assert (await ada.ask("GET", f"{PATH}/desk"))[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nobody_in_particular_has_profiles(rig: Rig, method: str) -> None:
    path = f"{PATH}/desk" if method == "DELETE" else PATH
    answer = await rig.client.request(method, path, json={"name": "desk"})
    assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")


async def test_every_fault_of_a_profile_is_listed_with_its_path(ada: User) -> None:
    status, problem = await ada.ask(
        "POST",
        body={
            "name": "My Desk",
            "base": "desk",
            "colour": "red",
            "turnDetection": {"threshold": "half", "silenceDurationMs": 1},
        },
    )
    assert (status, problem["code"]) == (400, "VALIDATION_ERROR")
    assert {fault["path"]: fault["message"] for fault in problem["errors"]} == {
        "name": "must be 1 to 64 of a-z, 0-9 and -, such as my-desk",
        "base": "must be 'vad-triggered' or 'wake-word'",
        "colour": "is not a known field",
        "turnDetection.threshold": "must be a number",
        "turnDetection.silenceDurationMs": "must be 100 or more",
    }


async def test_a_profile_has_a_size(ada: User) -> None:
    status, problem = await ada.ask("POST", body={"name": "desk", "voice": "v" * 16_000})
    assert (status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_user_has_no_more_than_fifty(ada: User) -> None:
    for number in range(MOST_PROFILES):
        assert (await ada.ask("POST", body={"name": f"profile-{number}"}))[0] == 201
    status, problem = await ada.ask("POST", body={"name": "one-more"})
    assert (status, problem["code"]) == (400, "VALIDATION_ERROR")
    assert "delete one first" in problem["message"]


async def test_asking_without_end_is_refused(serving: Serve) -> None:
    async with serving(reads_per_minute=2) as rig:
        ada = await User.register(rig)
        assert [(await ada.ask("GET"))[0] for _ in range(3)] == [200, 200, 429]
