"""Which web pages may talk to us."""

from collections.abc import Sequence

ANY = ("*",)
_PORTS = {"http": ":80", "https": ":443"}


def origin_allowed(origins: Sequence[str], origin: str | None, host: str) -> bool:
    """Whether a page of ``origin`` may read our answers.

    ``origins`` is ``("*",)`` for any or an exact list such as ``("https://example.com",)``;
    ``host`` is the request's Host header. A page we served ourselves always may, and so does
    whoever sends no Origin: only browsers do, and only they need to be held back.
    """
    if origin is None or tuple(origins) == ANY or origin in origins:
        return True
    # A proxy may have ended the TLS, so the scheme is not compared; the default port is left out.
    scheme, _, own = origin.lower().partition("://")
    port = _PORTS.get(scheme, "")
    return bool(port) and own.removesuffix(port) == host.lower().removesuffix(port)
