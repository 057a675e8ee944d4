"""What the parts of a node count themselves, under the names of ``/metrics``.

It is read when somebody looks, so it costs those who work nothing.
"""

from talksy.auth import Auth
from talksy.gateway import Gateway
from talksy.journal import Journal
from talksy.metrics import Metrics, Values
from talksy.ratelimit import Limiter
from talksy.state.redis import RedisState
from talksy.transports.socketio import LibraryServer, Server


def add_readings(
    metrics: Metrics,
    *,
    auth: Auth,
    limiter: Limiter,
    journal: Journal,
    gateway: Gateway,
    sockets: Server | LibraryServer,
    state: RedisState | None = None,
) -> None:
    """Shows what these know of themselves. Without ``state`` there is nothing to say of Redis."""

    def connections() -> Values:
        stats = sockets.stats()
        return {(name,): stats[name] for name in ("websocket", "polling")}

    def limits() -> Values:
        return {
            (window, result): getattr(count, result)
            for window, count in limiter.stats().items()
            for result in ("allowed", "refused")
        }

    def cached(what: str) -> Values:
        stats = auth.stats()
        return {(cache,): stats[cache][what] for cache in ("tokens", "users")}

    def lookups() -> Values:
        return {
            (*cache, result): count
            for result, plural in (("hit", "hits"), ("miss", "misses"))
            for cache, count in cached(plural).items()
        }

    gauge, counter = metrics.gauge, metrics.counter
    gauge("talksy_sockets", "Open sockets.", connections, ["transport"])
    gauge(
        "talksy_socket_queued_bytes",
        "What lies in the queues of all sockets.",
        lambda: sockets.stats()["queued_bytes"],
    )
    gauge("talksy_connections", "Clients that were let in.", lambda: gateway.connections)
    gauge("talksy_guests", "How many of them are guests.", lambda: gateway.guests)
    gauge("talksy_sessions", "Sessions that live here.", lambda: gateway.sessions)
    gauge("talksy_draining", "1 while nobody is let in.", lambda: gateway.draining)
    gauge("talksy_turns_running", "Turns that run.", lambda: journal.running)
    gauge("talksy_turns_waiting", "Turns that wait for those before them.", lambda: gateway.waiting)
    gauge("talksy_journal_bytes", "About what turns take in memory.", lambda: journal.bytes)
    counter(
        "talksy_news_dropped",
        "Words for other nodes that could not be said: these look at the rows.",
        lambda: gateway.untold,
    )
    counter("talksy_limits", "What the limits said.", limits, ["window", "result"])
    counter("talksy_auth_cache_lookups", "Looks into a cache.", lookups, ["cache", "result"])
    gauge("talksy_auth_cache_size", "Entries of a cache.", lambda: cached("size"), ["cache"])
    counter(
        "talksy_passwords",
        "Passwords that were worked on.",
        lambda: auth.stats()["passwords"]["completed"],
    )
    counter(
        "talksy_passwords_refused",
        "Passwords that were not: there was no time for them.",
        lambda: auth.stats()["passwords"]["refused"],
    )
    counter(
        "talksy_refresh_replays",
        "Refresh tokens used again after their grace: their families were revoked.",
        lambda: auth.stats()["replays"],
    )
    _add_fleet(metrics, journal)
    if state is not None:
        _add_redis(metrics, state)


def _add_fleet(metrics: Metrics, journal: Journal) -> None:
    """What this node does for others, and they for it."""
    gauge, counter, stats = metrics.gauge, metrics.counter, journal.stats
    gauge("talksy_nodes", "Nodes whose lease lives, this one among them.", lambda: stats().nodes)
    gauge(
        "talksy_turns_followed",
        "Turns of other nodes that are read here.",
        lambda: stats().followed,
    )
    gauge(
        "talksy_turns_behind",
        "Turns of this node that the log does not have whole.",
        lambda: stats().behind,
    )
    counter("talksy_log_appends", "Appends to the log of turns.", lambda: stats().appends)
    counter("talksy_log_events", "Events that they brought.", lambda: stats().appended_events)
    counter(
        "talksy_log_events_resent",
        "Events that the log had lost: Redis was emptied, or another one took its place.",
        lambda: stats().resent_events,
    )
    counter(
        "talksy_log_reads",
        "Reads of the log, for what no nudge brought.",
        lambda: stats().log_reads,
    )
    counter("talksy_nudges", "News of other nodes' turns.", lambda: stats().nudges)
    counter(
        "talksy_nudge_gaps", "Nudges that others before them were missing.", lambda: stats().gaps
    )
    counter(
        "talksy_endings_asked",
        "Endings of other nodes' turns that the database had to tell.",
        lambda: stats().endings_asked,
    )
    counter(
        "talksy_turns_taken_over",
        "Turns of dead nodes that were ended here.",
        lambda: stats().taken_over,
    )
    counter("talksy_turns_lost", "Turns of this node that others ended.", lambda: stats().lost)


def _add_redis(metrics: Metrics, state: RedisState) -> None:
    """How this node stands with Redis."""
    gauge, counter, stats = metrics.gauge, metrics.counter, state.stats
    gauge("talksy_redis_up", "1 while Redis serves.", lambda: stats().away_seconds is None)
    gauge(
        "talksy_redis_away_seconds",
        "For how long it has not; 0 while it does.",
        lambda: stats().away_seconds or 0,
    )
    gauge(
        "talksy_redis_answer_seconds",
        "How long its last answer to the probe of each second took.",
        lambda: stats().latency or 0,
    )
    gauge("talksy_redis_hears", "1 while all subscriptions stand.", lambda: stats().hears)
    counter("talksy_redis_commands", "Commands that were sent.", lambda: stats().commands)
    counter(
        "talksy_redis_listeners",
        "Connections that were made to listen on; more than one were lost.",
        lambda: stats().rebuilt,
    )
    counter(
        "talksy_redis_deaf",
        "Listening connections that stood and brought nothing.",
        lambda: stats().deaf,
    )
    counter(
        "talksy_limits_local",
        "Asks of a limit that this node answered alone, since Redis was away.",
        lambda: stats().local_hits,
    )
    counter(
        "talksy_tool_slots_local",
        "Asks for a tool's slot that this node answered alone, since Redis was away.",
        lambda: stats().local_slots,
    )
