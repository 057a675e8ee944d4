"""What the parts of a node count themselves, under the names of ``/metrics``.

It is read when somebody looks, so it costs those who work nothing.
"""

from talksy.auth import Auth
from talksy.gateway import Gateway
from talksy.journal import Journal
from talksy.metrics import Metrics, Values
from talksy.ratelimit import Limiter
from talksy.transports.socketio import Server


def add_readings(
    metrics: Metrics,
    *,
    auth: Auth,
    limiter: Limiter,
    journal: Journal,
    gateway: Gateway,
    sockets: Server,
) -> None:
    """Shows what these know of themselves."""

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
    counter("talksy_limits", "What the limits said.", limits, ["window", "result"])
    counter("talksy_auth_cache_lookups", "Looks into a cache.", lookups, ["cache", "result"])
    gauge("talksy_auth_cache_size", "Entries of a cache.", lambda: cached("size"), ["cache"])
    counter(
        "talksy_passwords",
        "Passwords that were worked on.",
        lambda: auth.stats()["passwords"]["completed"],
    )
    counter(
        "talksy_refresh_replays",
        "Refresh tokens used again after their grace: their families were revoked.",
        lambda: auth.stats()["replays"],
    )
