"""Looks at everything a start needs, part by part."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

from talksy.cli.check.database import database
from talksy.cli.check.findings import Finding, Look, show
from talksy.cli.check.mcp import mcp
from talksy.cli.check.models import models
from talksy.cli.check.place import data, files, tls
from talksy.cli.check.redis import redis
from talksy.cli.check.sandbox import sandbox
from talksy.cli.check.settings import names, risks
from talksy.cli.check.tools import tools
from talksy.cli.check.voice import voice
from talksy.config import Settings, SettingsError
from talksy.logs import setup_logs

SECONDS = 15.0
"""How long a part may take to answer."""
VOICE_SECONDS = 75.0
"""Engines that run here read their models first, one by one, which a busy machine delays."""
LOOKS: tuple[Look, ...] = (
    data,
    files,
    database,
    redis,
    models,
    voice,
    tools,
    mcp,
    sandbox,
    tls,
)


async def check(*, as_json: bool) -> bool:
    """Looks at everything a start needs and prints what was found; whether nothing fails."""
    # What the parts would log is told here, in better order.
    setup_logs("critical", "text", sys.stderr)
    findings = [finding async for finding in _findings()]
    if as_json:
        json.dump([asdict(finding) for finding in findings], sys.stdout)
        sys.stdout.write("\n")
    else:
        show(findings)
    return all(finding.state != "failed" for finding in findings)


async def _findings() -> AsyncGenerator[Finding]:
    try:
        settings = Settings.load()
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", "failed", fault)
        settings = None
    for finding in names():
        yield finding
    if settings is None:
        return
    yield Finding("settings", "ok", f"they allow a start, as {settings.talksy_env}")
    for finding in risks(settings):
        yield finding
    for found in await asyncio.gather(*(timed(look, settings) for look in LOOKS)):
        for finding in found:
            yield finding


async def timed(look: Look, settings: Settings) -> list[Finding]:
    """What it found of its part in the time that it may take."""
    seconds = VOICE_SECONDS if look is voice else SECONDS
    found: list[Finding] = []
    try:
        async with asyncio.timeout(seconds), aclosing(look(settings)) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - what came before a timeout is kept
    except TimeoutError:
        found.append(Finding(look.__name__, "failed", f"no answer within {seconds:g} s"))
    return found
