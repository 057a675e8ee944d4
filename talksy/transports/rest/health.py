"""GET / and GET /health, /health/detailed, /health/live, /health/ready."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, get_args

from aiohttp import web
from pydantic import WithJsonSchema

from talksy.errors import ServerDraining
from talksy.transports.rest.bodies import Body, answer

State = Literal["ok", "degraded", "down"]
"""``down`` is for what the server cannot do without."""


class Health(Protocol):
    """What the server knows of its own state."""

    def live(self) -> bool:
        """Whether the event loop turns; asks nothing else."""
        ...

    async def ready(self) -> State:
        """Whether to send new work here: ``down`` while draining or unable to serve."""
        ...

    def connections(self) -> int:
        """Open sockets of this node."""
        ...

    async def detailed(self) -> Mapping[str, Mapping[str, Any]]:
        """Each component's ``{state, latencyMs?, …}``, with a ``State``. Does not raise."""
        ...


Component = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "state": {"enum": list(get_args(State))},
                "latencyMs": {"type": "number", "minimum": 0},
            },
            "required": ["state"],
            "additionalProperties": True,
        }
    ),
]
"""A part of the server: ``{state, latencyMs?, …}``."""


class AboutBody(Body):
    """Who is here, and where to read on."""

    name: Literal["talksy"] = "talksy"
    version: str
    status: Literal["ok"] = "ok"
    health: str = "/health"
    socket: str = "/socket.io"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    asyncapi: str = "/asyncapi.json"


class ProbeBody(Body):
    """All is well."""

    status: Literal["ok"] = "ok"


class ReadyBody(Body):
    """New work may come."""

    status: Literal["ok", "degraded"] = "ok"
    """`degraded` where something is away that the server can do without."""


class HealthBody(ProbeBody):
    """The process lives."""

    version: str
    uptime: float
    """Seconds."""
    connections: int
    """Open sockets."""


class DetailedBody(Body):
    """How each part of the server is."""

    status: State
    """The worst of them; `down` is for what the server cannot do without."""
    version: str
    uptime: float
    """Seconds."""
    components: dict[str, Component]


class HealthRoutes:
    """The server's state over REST."""

    def __init__(self, health: Health, version: str) -> None:
        self._health = health
        self._version = version
        self._started = time.monotonic()

    def add(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self.about)
        router.add_get("/health", self.health)
        router.add_get("/health/detailed", self.detailed)
        router.add_get("/health/live", self.live)
        router.add_get("/health/ready", self.ready)

    async def about(self, _: web.Request) -> web.Response:
        return answer(AboutBody(version=self._version))

    async def health(self, _: web.Request) -> web.Response:
        return answer(
            HealthBody(
                version=self._version,
                uptime=self._uptime(),
                connections=self._health.connections(),
            )
        )

    async def detailed(self, _: web.Request) -> web.Response:
        components = {name: dict(said) for name, said in (await self._health.detailed()).items()}
        status = overall(components)
        body = DetailedBody(
            status=status, version=self._version, uptime=self._uptime(), components=components
        )
        response = answer(body, 503 if status == "down" else 200)
        if status == "down":
            response.headers["Retry-After"] = "1"
        return response

    async def live(self, _: web.Request) -> web.Response:
        if not self._health.live():
            raise ServerDraining("The event loop does not turn as it should.")
        return answer(ProbeBody())

    async def ready(self, _: web.Request) -> web.Response:
        state = await self._health.ready()
        if state == "down":
            raise ServerDraining("This server takes no new work: it drains or cannot serve.")
        return answer(ReadyBody(status=state))

    def _uptime(self) -> float:
        return round(time.monotonic() - self._started, 3)


def overall(components: Mapping[str, Mapping[str, Any]]) -> State:
    """The worst of the components' states; what is neither of the three counts as ``down``."""
    states = {said.get("state") for said in components.values()}
    if states - {"ok", "degraded"}:
        return "down"
    return "degraded" if "degraded" in states else "ok"
