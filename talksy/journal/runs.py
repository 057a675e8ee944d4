"""The turns that run on this node, by their ids and by their sessions."""

from collections.abc import Collection, Sequence

from talksy.journal.run import Run


class Runs:
    """Thousands may come back at once, and each asks what runs in its session."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._sessions: dict[str, list[Run]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, turn_id: str) -> bool:
        return turn_id in self._runs

    def add(self, run: Run) -> None:
        """It runs."""
        self._runs[run.row.id] = run
        self._sessions.setdefault(run.row.session_id, []).append(run)

    def remove(self, run: Run) -> None:
        """It does not run any more."""
        del self._runs[run.row.id]
        own = self._sessions[run.row.session_id]
        own.remove(run)
        if not own:
            del self._sessions[run.row.session_id]

    def get(self, turn_id: str) -> Run | None:
        """A turn, if it runs."""
        return self._runs.get(turn_id)

    def of(self, session_id: str) -> Sequence[Run]:
        """Those of a session: one or none, and for a moment one that ends beside the next."""
        return tuple(self._sessions.get(session_id, ()))

    def all(self) -> Collection[Run]:
        """All of them, as they are now."""
        return list(self._runs.values())
