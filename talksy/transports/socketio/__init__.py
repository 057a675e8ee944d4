"""The Socket.IO transport: parse, call the door, encode."""

from talksy.transports.socketio.rooms import Rooms
from talksy.transports.socketio.server import Limits, Server

__all__ = ["Limits", "Rooms", "Server"]
