"""Puts the parts together: the one place, beside the command line, that knows everyone."""

from talksy.app.node import Node, open_node
from talksy.app.opening import opened_auth, opened_models, opened_tools, set_clock
from talksy.app.plans import voice_plan

__all__ = [
    "Node",
    "open_node",
    "opened_auth",
    "opened_models",
    "opened_tools",
    "set_clock",
    "voice_plan",
]
