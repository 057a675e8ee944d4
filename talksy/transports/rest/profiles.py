"""GET, POST and DELETE /v1/voice/profiles: how a user likes to be heard and spoken to."""

from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, RootModel

from talksy.auth import Auth
from talksy.database.profiles import Profiles
from talksy.errors import Forbidden, NotFound, RateLimited
from talksy.ratelimit import Limiter
from talksy.transports.asking import token
from talksy.transports.rest.bodies import Body, answer, read
from talksy.voice import BUILT_IN, OwnProfile, Profile, TurnDetection, WakeWord
from talksy.voice.profiles import Name

PATH = "/v1/voice/profiles"
MAX_BYTES = 16_000
MINUTE_MS = 60_000


class NewProfile(OwnProfile):
    """A profile of one's own. What is not said in it is as its base has it."""

    name: Name
    """Under which `voice_start` asks for it: not that of a built-in one."""

    def own(self) -> OwnProfile:
        """The same without its name, as it is kept."""
        said = self.changes()
        del said["name"]
        return OwnProfile.model_validate(said)


class _Named(Body):
    name: str
    """Under which `voice_start` asks for it."""
    built_in: bool
    """Everybody has it, and nobody can change it."""
    base: str | None
    """The built-in profile that it stands over; null of one that is built in."""


class TurnDetectionBody(TurnDetection):
    """When an utterance begins and ends. Times are milliseconds."""

    sensitivity: Annotated[float | None, Field(exclude=True)] = None


class WakeWordBody(WakeWord):
    """What has to be said before anything is listened to."""


class ProfileBody(Profile, _Named):
    """A profile as it counts: with all that its base has."""

    turn_detection: TurnDetectionBody
    wake_word: WakeWordBody | None

    @classmethod
    def of(cls, name: str, own: OwnProfile | None = None) -> "ProfileBody":
        """One of a user's ``own``, or the built-in one of this name."""
        whole = BUILT_IN[name] if own is None else own.whole()
        said: dict[str, Any] = whole.model_dump(mode="json", by_alias=True)
        del said["turnDetection"]["sensitivity"]
        base = None if own is None else own.base
        return cls.model_validate({**said, "name": name, "builtIn": own is None, "base": base})


class ProfilesBody(RootModel[list[ProfileBody]]):
    """All profiles there are for a user: the built-in ones, then its own by name."""


class ProfileRoutes:
    """Voice profiles over REST. They count as reads do over sockets."""

    def __init__(
        self,
        auth: Auth,
        limiter: Limiter,
        profiles: Profiles,
        clock: Callable[[], int],
        *,
        per_minute: int,
    ) -> None:
        self._auth = auth
        self._limiter = limiter
        self._profiles = profiles
        self._clock = clock
        self._per_minute = per_minute

    def add(self, router: web.UrlDispatcher) -> None:
        router.add_get(PATH, self.all)
        router.add_post(PATH, self.keep)
        router.add_get(f"{PATH}/{{name}}", self.one)
        router.add_delete(f"{PATH}/{{name}}", self.drop)

    async def all(self, request: web.Request) -> web.Response:
        own = await self._profiles.all(await self._user(request))
        bodies = [ProfileBody.of(name) for name in BUILT_IN]
        bodies += [
            ProfileBody.of(name, OwnProfile.model_validate(kept)) for name, kept in own.items()
        ]
        return answer(ProfilesBody(bodies))

    async def one(self, request: web.Request) -> web.Response:
        user_id, name = await self._user(request), request.match_info["name"]
        if name in BUILT_IN:
            return answer(ProfileBody.of(name))
        kept = await self._profiles.find(user_id, name)
        if kept is None:
            raise _unknown()
        return answer(ProfileBody.of(name, OwnProfile.model_validate(kept)))

    async def keep(self, request: web.Request) -> web.Response:
        user_id = await self._user(request)
        profile = await read(request, NewProfile, MAX_BYTES)
        name, own = profile.name, profile.own()
        _check_own(name)
        new = await self._profiles.keep(user_id, name, own.changes(), self._clock())
        return answer(ProfileBody.of(name, own), 201 if new else 200)

    async def drop(self, request: web.Request) -> web.Response:
        user_id, name = await self._user(request), request.match_info["name"]
        _check_own(name)
        if not await self._profiles.drop(user_id, name):
            raise _unknown()
        return web.Response(status=204)

    async def _user(self, request: web.Request) -> str:
        identity = await self._auth.verify(token(request))
        verdict = await self._limiter.take(f"reads:{identity.user_id}", self._per_minute, MINUTE_MS)
        if not verdict.allowed:
            raise RateLimited(retry_after=verdict.retry_after)
        return identity.user_id


def _check_own(name: str) -> None:
    if name in BUILT_IN:
        raise Forbidden(f"{name} is built in: make one of your own, with it as its base")


def _unknown() -> NotFound:
    return NotFound("You have no profile of this name.")
