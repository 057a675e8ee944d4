"""The Socket.IO transport: parse, call the door, encode."""

from talksy.transports.socketio.door import Limits
from talksy.transports.socketio.rooms import DirectRooms, LibraryRooms
from talksy.transports.socketio.server import LibraryServer, Server, Transport, open_server

__all__ = [
    "DirectRooms",
    "LibraryRooms",
    "LibraryServer",
    "Limits",
    "Server",
    "Transport",
    "open_server",
]
