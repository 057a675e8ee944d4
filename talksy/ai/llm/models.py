"""The models of a node."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from talksy.ai.llm.base import Unwatched, Watcher
from talksy.ai.llm.fallback import Choice, Fallback, Silence
from talksy.ai.llm.vendors import known_vendors, open_model


@dataclass(frozen=True, slots=True)
class Plan:
    """Which models there are, and how they are asked. Names are ``vendor`` or ``vendor:model``."""

    usual: Sequence[str]
    """Who answers; each stands in for those before it."""
    others: Sequence[str] = ()
    """What a message may ask for beside that; a name without a vendor is of the first one."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The arguments of each vendor's class."""
    per_minute: Mapping[str, int] = field(default_factory=dict)
    """The most requests a minute that a model of the vendor is sent."""
    makeshift: Collection[str] = ()
    """Vendors whose answers are degraded, even where they are the first choice."""
    silence: Silence = field(default_factory=Silence)
    reset: bool = True
    """Whether another takes over after text was given, too."""


class Models:
    """The usual model, and those that a message may ask for by name, all opened."""

    def __init__(
        self, usual: Fallback, others: Mapping[str, Fallback], choices: Collection[Choice]
    ) -> None:
        self.usual = usual
        self.others = others
        """By the names a message may use. Each has the usual ones behind it."""
        self.choices = tuple(choices)
        """All there are, the usual ones first: how each of them stands."""

    @classmethod
    def open(cls, plan: Plan, watcher: Watcher | None = None) -> Self:
        """Opens them all. Raises ``ValueError`` as ``open_model`` does."""
        watcher = watcher or Unwatched()
        vendors = known_vendors()
        choices: dict[str, Choice] = {}

        def choice(name: str) -> Choice:
            vendor, _, model = name.partition(":")
            model = model or plan.options.get(vendor, {}).get("model", "")
            key = f"{vendor}:{model}"
            if key not in choices:
                choices[key] = Choice(
                    open_model(name, plan.options),
                    watcher=watcher,
                    per_minute=plan.per_minute.get(vendor),
                    makeshift=vendor in plan.makeshift,
                )
            return choices[key]

        def fallback(first: Sequence[Choice]) -> Fallback:
            return Fallback(first, watcher=watcher, silence=plan.silence, reset=plan.reset)

        usual = [choice(name) for name in plan.usual]
        first = plan.usual[0].partition(":")[0]
        others = {}
        for name in plan.others:
            full = name if name.partition(":")[0] in vendors else f"{first}:{name}"
            chosen = choice(full)
            others[name] = fallback([chosen, *(each for each in usual if each is not chosen)])
        return cls(fallback(usual), others, choices.values())

    async def close(self) -> None:
        """Gives back connections."""
        for choice in self.choices:
            await choice.model.close()
