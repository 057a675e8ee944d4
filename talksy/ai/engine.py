"""What engines on this machine say, beside what those of vendors do."""

from talksy.errors import Overloaded, ProviderUnavailable


class EngineBusy(Overloaded, ProviderUnavailable):
    """Too much is being heard or spoken at once: try again in a moment.

    To a client it is ``OVERLOADED``. Whoever has another engine asks that: this one has refused one
    request and is well.
    """

    usual_cause = "invalid"


def missing(what: str, how: str) -> ProviderUnavailable:
    """What an engine needs is not installed; ``how`` to install it."""
    return ProviderUnavailable(cause="not_found", hint=f"{what} is not installed: {how}")
