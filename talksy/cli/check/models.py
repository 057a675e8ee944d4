"""The models that are to answer."""

import asyncio
import time
from collections.abc import AsyncGenerator

from talksy.ai.llm import Choice
from talksy.app import opened_models
from talksy.cli.check.findings import Finding, ms_since
from talksy.config import Settings, SettingsError
from talksy.errors import ProviderFault


async def models(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether each can be reached and lets us in."""
    try:
        async with opened_models(settings) as opened:
            for finding in await asyncio.gather(*map(_model, opened.choices)):
                yield finding
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("model", "failed", fault)


async def _model(choice: Choice) -> Finding:
    name = f"{choice.model.provider}:{choice.model.model}"
    started = time.perf_counter()
    try:
        await choice.model.ping()
    except ProviderFault as error:
        return Finding("model", "failed", f"{name}: {error.cause}", error.hint, ms_since(started))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise what it likes
        return Finding("model", "failed", f"{name}: {type(error).__name__}", ms=ms_since(started))
    return Finding("model", "ok", f"{name} can be reached", ms=ms_since(started))
