"""What our transports lean on beyond the public API of the libraries, as it is written there now.

python -m tests.unit.transports.pins

writes ``pins.json`` anew, when a new version has been read and tried.
"""

import hashlib
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

import bidict
import engineio
import socketio
from aiohttp import base_protocol, web, web_protocol, web_runner, web_server
from aiohttp._websocket import helpers
from engineio import base_server as eio_base_server
from engineio import payload as eio_payload
from engineio.async_drivers import aiohttp as driver
from socketio import async_pubsub_manager, base_manager, base_server, packet

PINS = Path(__file__).parent / "pins.json"

Pins = dict[str, str]
"""The digest of each member's source, and its signature."""

MEMBERS: dict[Any, str] = {
    # engine/engine, library
    engineio.AsyncServer: """
        __init__ handle_request send send_packet get_session save_session disconnect shutdown
        attach _trigger_event start_background_task create_queue create_event
    """,
    eio_base_server.BaseServer: """
        __init__ on transport generate_id _get_socket _generate_sid_cookie _cors_allowed_origins
        _cors_headers _log_error_once
    """,
    engineio.packet.Packet: "__init__ encode decode",
    # library
    engineio.async_socket.AsyncSocket: """
        poll receive check_ping_timeout send handle_get_request handle_post_request close
        _upgrade_websocket _websocket_handler
    """,
    eio_payload.Payload: "encode decode",
    driver: "create_route translate_request make_response",
    driver.WebSocket: "__call__ close send wait",
    # direct, door
    socketio.AsyncServer: """
        __init__ attach emit call enter_room leave_room close_room get_session save_session session
        disconnect shutdown handle_request _send_packet _send_eio_packet _handle_connect
        _handle_disconnect _handle_event _handle_event_internal _handle_ack _trigger_event
        _handle_eio_connect _handle_eio_message _handle_eio_disconnect _engineio_server_class
    """,
    base_server.BaseServer: """
        __init__ on register_namespace rooms transport get_environ _get_event_handler
        _get_namespace_handler
    """,
    socketio.AsyncManager: """
        emit can_disconnect pre_connect connect disconnect enter_room leave_room close_room
        trigger_callback
    """,
    base_manager.BaseManager: """
        __init__ set_server get_namespaces get_participants pre_connect connect is_pre_connected
        is_connected sid_from_eio_sid eio_sid_from_sid pre_disconnect basic_disconnect is_sid_room
        basic_enter_room basic_leave_room basic_close_room get_rooms _generate_ack_id
    """,
    packet.Packet: """
        __init__ encode decode add_attachment reconstruct_binary _reconstruct_binary_internal
        deconstruct_binary _deconstruct_binary_internal data_is_binary
    """,
    bidict.bidict: "__init__",
    # rooms
    async_pubsub_manager.AsyncPubSubManager: """
        __init__ initialize emit _publish _listen _thread _handle_emit
    """,
    # engine/takeover, http
    base_protocol.BaseProtocol: """
        __init__ connected pause_writing resume_writing pause_reading resume_reading connection_made
        connection_lost
    """,
    web_protocol.RequestHandler: """
        __init__ connection_made connection_lost data_received set_parser close force_close
        _process_keepalive _handle_request start finish_response handle_error
    """,
    web_server.Server: """
        __init__ connection_made connection_lost pre_shutdown shutdown __call__
    """,
    web_runner.AppRunner: "__init__ _make_server",
    web.Response: "__init__ prepare",
    # engine/frames
    helpers: "_websocket_mask_python",
}
"""Classes and modules, each with the members that ours call, replace, or count on being called."""


def current() -> Pins:
    """What is installed."""
    return {
        f"{owner.__module__}.{owner.__name__}.{name}"
        if inspect.isclass(owner)
        else f"{owner.__name__}.{name}": _pin(getattr(owner, name))
        for owner, names in MEMBERS.items()
        for name in names.split()
    }


def _pin(member: Any) -> str:
    function: Any = member.fget if isinstance(member, property) else member
    function = inspect.unwrap(getattr(function, "__func__", function))
    source = textwrap.dedent(inspect.getsource(function))
    names = ", ".join(map(_parameter, inspect.signature(function).parameters.values()))
    return f"{hashlib.sha256(source.encode()).hexdigest()[:16]} ({names})"


def _parameter(parameter: inspect.Parameter) -> str:
    """Without its annotation, which Python's versions write in their own ways."""
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def pinned() -> Pins:
    """What was read and tried."""
    found: Pins = json.loads(PINS.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    PINS.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
    print(f"{len(current())} pins")
