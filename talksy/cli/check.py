"""``talksy check``: whether a server would start here, and serve well."""

import asyncio
import ipaddress
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from talksy.ai.llm import Choice
from talksy.app import opened_models
from talksy.cli.tls import Certificate, TlsError
from talksy.config import Settings, SettingsError, unknown_names
from talksy.database import Database, Outdated, SchemaError, Unreachable
from talksy.errors import ProviderFault, TalksyError
from talksy.logs import setup_logs

SECONDS = 15.0
"""How long a part may take to answer."""
RENEW_DAYS = 14
"""A certificate that runs out sooner should have been renewed: most are, a month before."""
ROOM = 500_000_000
"""Bytes that should be free where everything is kept."""

State = Literal["ok", "warn", "fail"]
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part. ``ms`` is how long it took to answer."""

    part: str
    state: State
    said: str
    hint: str | None = None
    ms: float | None = None


Look = Callable[[Settings], AsyncGenerator[Finding]]


async def check(*, as_json: bool) -> bool:
    """Looks at everything a start needs and prints what was found; whether nothing fails."""
    # What the parts would log is told here, in better order.
    setup_logs("critical", "text", sys.stderr)
    findings = [finding async for finding in _findings()]
    if as_json:
        json.dump([asdict(finding) for finding in findings], sys.stdout)
        sys.stdout.write("\n")
    else:
        _show(findings)
    return all(finding.state != "fail" for finding in findings)


async def _findings() -> AsyncGenerator[Finding]:
    try:
        settings = Settings.load()
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", "fail", fault)
        settings = None
    for finding in _names():
        yield finding
    if settings is None:
        return
    yield Finding("settings", "ok", f"they allow a start, as {settings.talksy_env}")
    for finding in _risks(settings):
        yield finding
    looks: tuple[Look, ...] = (_folder, _database, _models, _tls)
    for found in await asyncio.gather(*(_timed(look, settings) for look in looks)):
        for finding in found:
            yield finding


async def _timed(look: Look, settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with asyncio.timeout(SECONDS), aclosing(look(settings)) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - what came before a timeout is kept
    except TimeoutError:
        name = look.__name__.strip("_")
        found.append(Finding(name, "fail", f"no answer within {SECONDS:g} s"))
    return found


def _names() -> Iterator[Finding]:
    for name, near in unknown_names().items():
        hint = f"did you mean {near}?" if near else "it is not read: take it out of .env"
        yield Finding("settings", "warn", f"{name} in .env is no setting", hint)


def _risks(settings: Settings) -> Iterator[Finding]:
    """What is allowed, and may still be a mistake."""
    production = settings.talksy_env == "production"
    names = [*settings.providers, *settings.ai_models]
    if production and any(name.partition(":")[0] == "mock" for name in names):
        yield Finding(
            "settings",
            "warn",
            "the mock model answers people in production",
            "take mock out of AI_PROVIDER and AI_MODELS",
        )
    if settings.cors_origin == ("*",) and not _own(settings.host):
        yield Finding(
            "settings",
            "warn",
            f"HOST={settings.host} is open to others, and any page may connect",
            "name the pages in CORS_ORIGIN",
        )
    if production and _own(settings.host) and settings.metrics_token is None:
        yield Finding(
            "settings",
            "warn",
            "a proxy on this machine may show /metrics to everybody",
            "set METRICS_TOKEN, or let the proxy add X-Forwarded-For",
        )


async def _folder(settings: Settings) -> AsyncGenerator[Finding]:
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        hint = "set DATA_DIR to a folder of the user that Talksy runs as"
        yield Finding("data", "fail", f"{folder} cannot be written: {error.strerror}", hint)
        return
    yield Finding("data", "ok", f"{folder.resolve()} can be written")
    if free < ROOM:
        yield Finding("data", "warn", f"only {free // 1_000_000} MB are free in {folder}")
    if folder.stat().st_mode & 0o007:
        yield Finding(
            "data", "warn", f"{folder} is open to every user", f"chmod o-rwx {folder.resolve()}"
        )


async def _database(settings: Settings) -> AsyncGenerator[Finding]:
    url = settings.database_url
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    if kind == "SQLite" and not _exists(url):
        if settings.database_migrate:
            yield Finding("database", "ok", f"{kind}, made at the first start")
        else:
            yield Finding("database", "fail", f"{kind}, not there yet", "run `talksy migrate`")
        return
    try:
        async with Database.open(url, upgrade=False, pool_size=1) as database:
            started = time.perf_counter()
            await database.ping()
            yield Finding("database", "ok", f"{kind}, its tables are up to date", ms=_ms(started))
    except Outdated as error:
        if settings.database_migrate:
            said = f"{kind}, its tables are brought up to date at the next start"
            yield Finding("database", "warn", said, "make a backup first")
        else:
            yield Finding("database", "fail", str(error))
    except (SchemaError, Unreachable) as error:
        yield Finding("database", "fail", str(error))
    except TalksyError as error:
        yield Finding("database", "fail", f"{kind} does not serve: {error.message}")
    except OSError as error:
        yield Finding("database", "fail", f"{kind} cannot be opened: {error.strerror}")


async def _models(settings: Settings) -> AsyncGenerator[Finding]:
    try:
        async with opened_models(settings) as models:
            for finding in await asyncio.gather(*map(_model, models.choices)):
                yield finding
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("model", "fail", fault)


async def _model(choice: Choice) -> Finding:
    name = f"{choice.model.provider}:{choice.model.model}"
    started = time.perf_counter()
    try:
        await choice.model.ping()
    except ProviderFault as error:
        return Finding("model", "fail", f"{name}: {error.cause}", error.hint, _ms(started))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise what it likes
        return Finding("model", "fail", f"{name}: {type(error).__name__}", ms=_ms(started))
    return Finding("model", "ok", f"{name} can be reached", ms=_ms(started))


async def _tls(settings: Settings) -> AsyncGenerator[Finding]:
    if not settings.tls_cert or not settings.tls_key:
        return
    try:
        until = Certificate(settings.tls_cert, settings.tls_key).expires_at
    except TlsError as error:
        yield Finding("tls", "fail", str(error))
        return
    left = until - datetime.now(UTC)
    state: State = "ok" if left.days >= RENEW_DAYS else "warn" if left.days >= 0 else "fail"
    verb = "ran out" if state == "fail" else "is good until"
    hint = None if state == "ok" else "renew it: a running server picks up the new files"
    yield Finding("tls", state, f"the certificate {verb} {until:%Y-%m-%d %H:%M} UTC", hint)
    if settings.tls_key.stat().st_mode & 0o077:
        yield Finding("tls", "warn", "the key is open to others", f"chmod 600 {settings.tls_key}")


def _exists(url: str) -> bool:
    return Path(url.removeprefix("sqlite:///")).exists()


def _own(host: str) -> bool:
    """Whether only this machine can connect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _show(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        color = COLORS[finding.state]
        took = f" [dim]({finding.ms:g} ms)[/]" if finding.ms is not None else ""
        console.print(
            f"[{color}]{finding.state:4}[/]  {finding.part:8}  {escape(finding.said)}{took}"
        )
        if finding.hint:
            console.print(f"{'':16}[dim]{escape(finding.hint)}[/]")
    bad = sum(finding.state == "fail" for finding in findings)
    doubts = sum(finding.state == "warn" for finding in findings)
    console.print(f"{bad} failed, {doubts} to look at")
