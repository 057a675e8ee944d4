"""The one door, the same for every transport."""

from talksy.gateway.connection import Connection, Outlet
from talksy.gateway.gateway import Gateway
from talksy.gateway.hands import Workshop
from talksy.gateway.news import News
from talksy.gateway.registry import Caps
from talksy.gateway.requests import (
    Call,
    Called,
    Hello,
    Info,
    Listening,
    Mode,
    Receipt,
    Resumed,
    Rules,
    Say,
    Verdict,
    VoiceStart,
)

__all__ = [
    "Call",
    "Called",
    "Caps",
    "Connection",
    "Gateway",
    "Hello",
    "Info",
    "Listening",
    "Mode",
    "News",
    "Outlet",
    "Receipt",
    "Resumed",
    "Rules",
    "Say",
    "Verdict",
    "VoiceStart",
    "Workshop",
]
