"""Engines of other people that run here, and that need not be installed."""

from talksy.errors import ProviderUnavailable


def lacking(engine: str, package: str) -> ProviderUnavailable:
    """What to raise where the ``package`` that ``engine`` runs on cannot be imported."""
    return ProviderUnavailable(
        f"The engine {engine} is not installed on this server.",
        hint=f"{package} is missing: pip install 'talksy[voice]'",
    )
