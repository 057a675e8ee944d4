"""A clock that is set by hand."""


class Clock:
    """Gives ``now``, in milliseconds."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
