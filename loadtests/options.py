"""What a run is told, by the environment; `python -m loadtests` sets it from its own options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

SHAPES = ("smoke", "ramp", "soak", "storm", "rolling")
MIXES: Mapping[str, Mapping[str, int]] = {
    "smoke": {
        "account": 2,
        "chat": 4,
        "upgrade": 2,
        "stream": 5,
        "resume": 3,
        "devices": 2,
        "read": 2,
        "tools": 2,
        "approve": 1,
        "limiter": 1,
        "speak": 1,
    },
    "ramp": {"chat": 3, "upgrade": 1, "stream": 6, "resume": 1, "read": 1},
    "storm": {"storm": 1},
    "rolling": {"chat": 2, "upgrade": 1, "stream": 5, "resume": 2},
}
"""Who comes, by weight. A soak has the smoke's."""
USERS = {"smoke": 25, "ramp": 2_000, "soak": 50, "storm": 1_000, "rolling": 60}
SECONDS = {"smoke": 60, "ramp": 600, "soak": 3_600, "storm": 300, "rolling": 90}
SHARE = {"storm": 100}
"""Users of one account, who share its limits."""


class OptionError(ValueError):
    """An option that cannot be; its text is for the person who gave it."""


@dataclass(frozen=True)
class Options:
    """How to run."""

    shape: str = "smoke"
    mix: Mapping[str, int] = field(default_factory=dict)
    """Weights by the kind of user; 0 leaves it out."""
    limit: int | None = None
    """What the server's RATE_LIMIT_MAX_REQUESTS is meant to be, None for whatever it says."""
    say: str = ""
    """Added to each ``/mock`` directive, such as ``fail_after=5``."""
    tokens: tuple[str, ...] = ()
    """Access tokens of accounts that are there; none to register new ones."""
    metrics_token: str = ""
    metrics: tuple[str, ...] = ()
    """Where /metrics is read beside the server itself: the nodes behind a balancer."""
    cached: bool = True
    """Whether the share of cache hits is measured, which needs /metrics."""
    slack: float = 1.0
    """What bounds in ms are multiplied by: for servers that are far away, or busy machines."""
    step: int = 50
    """Users that a ramp adds at a time."""
    step_seconds: float = 20.0

    @property
    def share(self) -> int:
        """Users of one account."""
        return SHARE.get(self.shape, 10)

    @property
    def steady(self) -> bool:
        """Nobody is cut off but by the users themselves."""
        return self.shape in {"smoke", "ramp", "soak"}


def read(environ: Mapping[str, str] = os.environ) -> Options:
    """The options of the environment. Raises ``OptionError``."""
    shape = environ.get("LOAD_SHAPE") or "smoke"
    if shape not in SHAPES:
        raise OptionError(f"LOAD_SHAPE={shape} is not one of {', '.join(SHAPES)}")
    base = MIXES.get(shape, MIXES["smoke"])
    mix = _mix(environ.get("LOAD_MIX") or "", base)
    _check_mix(shape, mix)
    return Options(
        shape=shape,
        mix=mix,
        limit=_number(environ, "LOAD_LIMIT"),
        say=environ.get("LOAD_SAY") or "",
        tokens=_words(environ.get("LOAD_TOKENS") or ""),
        metrics_token=environ.get("LOAD_METRICS_TOKEN") or "",
        metrics=_words(environ.get("LOAD_METRICS") or ""),
        cached=environ.get("LOAD_CACHE") != "no",
        slack=float(_number(environ, "LOAD_SLACK") or Options.slack),
        step=_number(environ, "LOAD_STEP") or Options.step,
        step_seconds=float(_number(environ, "LOAD_STEP_SECONDS") or Options.step_seconds),
    )


def _mix(text: str, base: Mapping[str, int]) -> Mapping[str, int]:
    """``chat=3,stream=5`` is these alone; ``limiter=0`` alone is all others."""
    known = {name for mix in MIXES.values() for name in mix}
    given: dict[str, int] = {}
    for part in _words(text):
        name, _, weight = part.partition("=")
        if name not in known or not weight.isdigit():
            raise OptionError(
                f"LOAD_MIX has {part}: say name=weight, names are {', '.join(sorted(known))}"
            )
        given[name] = int(weight)
    alone = any(given.values())
    mixed = given if alone else {**base, **given}
    return {name: weight for name, weight in mixed.items() if weight}


def _check_mix(shape: str, mix: Mapping[str, int]) -> None:
    """A storm is for those who wait for it, who wait for nothing else."""
    if not mix:
        raise OptionError("LOAD_MIX leaves nobody who comes")
    if shape == "storm" and set(mix) != {"storm"}:
        others = ", ".join(sorted(set(mix) - {"storm"}))
        raise OptionError(f"LOAD_MIX has {others}, but only storm=1 can come to the shape storm")
    if shape != "storm" and "storm" in mix:
        raise OptionError(f"LOAD_MIX has storm, who comes to the shape storm alone, not to {shape}")


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name) or ""
    if text and not text.isdigit():
        raise OptionError(f"{name}={text} is not a whole number")
    return int(text) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
