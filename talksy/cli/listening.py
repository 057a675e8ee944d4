"""What the log says of a server that starts."""

import structlog

from talksy import __version__
from talksy.config import Settings, unknown_names

log = structlog.get_logger(__name__)


def tell_unknown() -> None:
    """Warns of what ``.env`` sets that is no setting."""
    for name, near in unknown_names().items():
        log.warning("unknown_setting", name=name, hint=f"did you mean {near}?" if near else None)


def tell_listening(settings: Settings, port: int, **more: object) -> None:
    """Says where it listens; ``port`` is the real one where 0 was asked for."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"
    log.info(
        "listening",
        version=__version__,
        url=url,
        docs=f"{url}/docs",
        environment=settings.talksy_env,
        provider=",".join(settings.providers),
        database=settings.database_url.partition(":")[0],
        guests=settings.guests_enabled,
        metrics="token" if settings.metrics_token else "this machine",
        **more,
    )
