"""Engine.IO on connections of our own."""

from talksy.transports.socketio.engine.engine import Engine
from talksy.transports.socketio.engine.socket import Socket

__all__ = ["Engine", "Socket"]
