"""What Socket.IO clients may count on, event by event, and AsyncAPI's document made of it."""

from talksy.transports.socketio.contract.document import ASKED, TOLD, asyncapi, server_events

__all__ = ["ASKED", "TOLD", "asyncapi", "server_events"]
