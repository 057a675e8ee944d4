"""The settings: slips of the pen, and what is allowed and may still be a mistake."""

import ipaddress
from collections.abc import Iterator

from talksy.cli.check.findings import Finding
from talksy.config import Settings, unknown_names


def names() -> Iterator[Finding]:
    """What ``.env`` sets that is no setting."""
    for name, near in unknown_names().items():
        hint = f"did you mean {near}?" if near else "it is not read: take it out of .env"
        yield Finding("settings", "risky", f"{name} in .env is no setting", hint)


def risks(settings: Settings) -> Iterator[Finding]:
    """What is allowed, and may still be a mistake."""
    production = settings.talksy_env == "production"
    used = [*settings.providers, *settings.ai_models]
    if production and any(name.partition(":")[0] == "mock" for name in used):
        yield Finding(
            "settings",
            "risky",
            "the mock model answers people in production",
            "take mock out of AI_PROVIDER and AI_MODELS",
        )
    if settings.cors_origin == ("*",) and not _own(settings.host):
        yield Finding(
            "settings",
            "risky",
            f"HOST={settings.host} is open to others, and any page may connect",
            "name the pages in CORS_ORIGIN",
        )
    if production and _own(settings.host) and settings.metrics_token is None:
        yield Finding(
            "settings",
            "risky",
            "a proxy on this machine may show /metrics to everybody",
            "set METRICS_TOKEN, or let the proxy add X-Forwarded-For",
        )


def _own(host: str) -> bool:
    """Whether only this machine can connect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
