"""Runs code that nobody trusts: a process for each call, that can reach nothing and is ended in
time.
"""

from talksy.tools.sandbox.keeper import SandboxUnfit
from talksy.tools.sandbox.sandbox import NAMESPACES_HINT, Ran, Sandbox, SandboxBounds

__all__ = ["NAMESPACES_HINT", "Ran", "Sandbox", "SandboxBounds", "SandboxUnfit"]
