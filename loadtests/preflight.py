"""A look at the server before anybody comes: whether a run can say anything, and what to mend."""

import time
from typing import Any
from urllib.parse import urlsplit

from loadtests.accounts import Account, asked
from loadtests.client import Client
from loadtests.line import Hangup, Refused, Unanswered
from loadtests.options import Options
from loadtests.report import Fault, Report
from loadtests.run import wanted
from loadtests.turn import tokens
from loadtests.watch import read_metrics

SECONDS = 10.0
MESSAGES = 12
"""More than the limit that is there by default lets through."""
EVENTS = {
    "user_message",
    "user_message_stream",
    "resume",
    "cancel",
    "get_history",
    "get_session_info",
    "list_tools",
    "get_tool_info",
    "call_tool",
    "tool_decision",
    "voice_start",
    "voice_stop",
    "audio",
    "auth_refresh",
}
APPROVAL = "load_approval"


class NotReady(Exception):
    """Why a run would say nothing, in a line."""


def look(url: str, options: Options, report: Report) -> None:
    """Raises ``NotReady``."""
    _check_address(url)
    _check_identity(url)
    _check_health(url)
    _check_metrics(url, options)
    account = _account(url, options)
    try:
        _check_messages(url, account, report, options)
    except (Refused, Hangup, Unanswered, Fault, OSError) as error:
        raise NotReady(f"{url} serves no socket: {error}") from error


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # of a port that is none
        sound = False
    if not sound:
        raise NotReady(f"{url} is not an address such as http://localhost:3000")


def _check_identity(url: str) -> None:
    try:
        told = asked(url, "GET", "/", seconds=SECONDS)
    except (OSError, Hangup, UnicodeError) as error:  # the last is of a name that cannot be
        raise NotReady(f"{url} is down: {error}") from error
    except Refused as error:
        raise NotReady(f"{url} is not Talksy: GET / says {error}") from error
    if not isinstance(told, dict) or told.get("name") != "talksy":
        raise NotReady(f"{url} is not Talksy: GET / says {str(told)[:60]!r}")
    version = told.get("version", "?")
    try:
        described = asked(url, "GET", "/asyncapi.json", seconds=SECONDS)
        lacking = EVENTS - described["operations"].keys()
    except (Refused, Hangup, OSError, KeyError, TypeError):
        lacking = EVENTS
    if lacking:
        raise NotReady(
            f"{url} runs an older Talksy ({version}), which lacks {', '.join(sorted(lacking))}: "
            "run the load tests of its own checkout"
        )


def _check_health(url: str) -> None:
    try:
        health = asked(url, "GET", "/health/detailed", seconds=SECONDS)
    except (Refused, Hangup, OSError) as error:
        raise NotReady(f"{url} is not well: /health/detailed says {error}") from error
    try:
        state = health["components"]["storage"].get("redis", {}).get("state", "ok")
    except (KeyError, TypeError, AttributeError) as error:
        raise NotReady(f"{url}/health/detailed says nothing of its storage") from error
    if state != "ok":
        raise NotReady(
            f"{url} is without Redis: limits are counted by each node for itself, and readers on "
            "other nodes wait; see redis in /health/detailed"
        )


def _check_metrics(url: str, options: Options) -> None:
    if not options.cached or "account" not in options.mix:
        return
    for node in options.metrics or (url,):
        try:
            read_metrics(node, options.metrics_token)
        except (Refused, Hangup, OSError) as error:
            raise NotReady(
                f"{node}/metrics cannot be read ({error}): set METRICS_TOKEN there and "
                "LOAD_METRICS_TOKEN here, or LOAD_CACHE=no to go without the share of cache hits"
            ) from error


def _account(url: str, options: Options) -> Account:
    for token in options.tokens:
        try:
            asked(url, "GET", "/auth/me", token=token, seconds=SECONDS)
        except (OSError, Hangup) as error:
            raise NotReady(f"{url} does not answer on /auth/me: {error}") from error
        except Refused as error:
            why = "was signed with another JWT_SECRET than the server's"
            if error.code == "TOKEN_EXPIRED":
                why = "has run out"
            raise NotReady(f"a token of LOAD_TOKENS {why} ({error.code})") from error
    if options.tokens:
        return Account.given(url, options.tokens[0])
    try:
        return Account.registered(url)
    except (Refused, Hangup, OSError, KeyError, TypeError) as error:
        limited = isinstance(error, Refused) and error.code == "RATE_LIMITED"
        hint = ": raise AUTH_REGISTER_PER_MINUTE" if limited else ""
        raise NotReady(f"{url} registers nobody ({error}){hint}") from error


def _check_messages(url: str, account: Account, report: Report, options: Options) -> None:
    """Says a few things in a row."""
    client = Client(url, account, report, exhausts=True)
    try:
        client.connect()
        for _ in range(MESSAGES):
            _say(url, client)
        if "approve" in options.mix:
            client.ask_for("get_tool_info", "tool_info", {"toolName": APPROVAL})
    except Refused as error:
        if error.code == "TOOL_NOT_FOUND":
            raise NotReady(
                f"{url} has no tool that must be approved: set TOOL_MODULES=loadtests.tools there, "
                "or leave it out by LOAD_MIX=approve=0"
            ) from error
        setting = wanted(error)
        if not setting:
            raise
        raise NotReady(
            f"{url} has a limit that is no limit for a crowd ({error}): raise {setting}"
        ) from error
    finally:
        client.close()


def _say(url: str, client: Client) -> None:
    turn = client.say("/mock tokens=3", tokens(3), stream=False)
    client.wait_for(lambda: turn.ended, SECONDS)
    if turn.ended is None:
        raise NotReady(f"{url} did not end its answer to a message within {SECONDS:g} s")
    if not turn.wrong and turn.given == tokens(3):
        return
    told: Any = turn.given[:40] or turn.code or "nothing"
    raise NotReady(
        f"{url} does not follow /mock, it answers {told!r}: set AI_PROVIDER=mock and "
        "AI_MOCK_DIRECTIVES=yes there"
    )


def settled(url: str, options: Options, report: Report, seconds: float = 0.0) -> None:
    """As ``look``, again and again for so long while the host is down. Raises ``NotReady``."""
    until = time.monotonic() + seconds
    while True:
        try:
            return look(url, options, report)
        except NotReady as error:
            if "is down" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.2)
