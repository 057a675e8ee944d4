"""From the name of an engine to the engine: what is built in, and what other packages add."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that one of several engines takes, all of one contract."""

    what: str
    """What they are, such as ``speech detector``."""
    built_in: Mapping[str, str]
    """Where each lives, as ``module:class``, the best first; the class takes its options by
    keyword."""
    plugins: str
    """The group of entry points by which another package adds one: its name, and such a class.
    Names that are built in cannot be taken."""
    contract: type[Any]
    """What they promise: a protocol."""

    def names(self) -> list[str]:
        """All there are, sorted; whether what they run on is installed shows when they are used."""
        return sorted({*self.built_in, *entry_points(group=self.plugins).names})

    def open(self, name: str, options: Mapping[str, Mapping[str, Any]]) -> Any:
        """The engine called ``name``; ``options`` holds the arguments of each by its name.

        Raises ``ValueError`` for an unknown one, and for another package's that is not what it
        should be; a built-in one raises what it raises.
        """
        arguments = options.get(name, {})
        if name in self.built_in:
            module, _, kind = self.built_in[name].partition(":")
            return getattr(import_module(module), kind)(**arguments)
        found = entry_points(group=self.plugins, name=name)
        if not found:
            known = ", ".join(self.names())
            raise ValueError(f'there is no {self.what} "{name}": the known ones are {known}')
        if len(found) > 1:
            raise ValueError(f'several packages add the {self.what} "{name}": keep one of them')
        return self._plugged(next(iter(found)), arguments)

    def _plugged(self, entry: EntryPoint, arguments: Mapping[str, Any]) -> Any:
        whose = f'the {self.what} "{entry.name}" of the package '
        whose += entry.dist.name if entry.dist else entry.value
        try:
            engine = entry.load()(**arguments)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"{whose} does not start: {said}") from error
        if not isinstance(engine, self.contract):
            promise = f"{self.contract.__module__}.{self.contract.__name__}"
            raise ValueError(f"{whose} is not what it should be: see {promise}")  # noqa: TRY004
        return engine
