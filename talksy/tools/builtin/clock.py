"""What time it is."""

import asyncio
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from talksy.tools.faults import validation_error
from talksy.tools.function import tool

NEAR = 3
"""Names that are told where there is none."""


@tool(category="utility", idempotent=True)
async def get_current_time(zone: str = "UTC") -> dict[str, str | int]:
    """Tells the current date, time and weekday in a time zone.

    Args:
        zone: an IANA name such as Europe/Berlin or America/New_York
    """
    try:
        now = datetime.now(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = await asyncio.to_thread(_near, zone[:100])
        hint = f": did you mean {', '.join(near)}?" if near else "; an example is Europe/Berlin"
        raise validation_error([("zone", f"there is no such time zone{hint}")]) from None
    return {
        "zone": zone,
        "iso": now.isoformat(timespec="seconds"),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M:%S"),
        "weekday": now.strftime("%A"),
        "utcOffset": _offset(now),
        "epochMs": int(now.timestamp() * 1000),
    }


def _offset(now: datetime) -> str:
    text = now.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


@cache
def _zones() -> dict[str, str]:
    """Every name, and every city by itself, in lower case."""
    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2].lower(): zone for zone in zones}
    return cities | {zone.lower(): zone for zone in zones}


def _near(zone: str) -> list[str]:
    zones = _zones()
    asked = zone.strip().lower().replace(" ", "_")
    found = get_close_matches(asked.rpartition("/")[2], zones, n=NEAR, cutoff=0.7)
    found += get_close_matches(asked, zones, n=NEAR, cutoff=0.7)
    return list(dict.fromkeys(zones[name] for name in found))[:NEAR]
