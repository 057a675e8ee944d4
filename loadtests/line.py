"""A Socket.IO connection whose events are heard one after the other, in the order they came.

Not ``locust.contrib.socketio``: what it stands on, python-socketio's threaded client, hands each
packet to a greenlet of its own, so nothing promises the order in which they are seen, and a load
test that counts numbers must not guess. A queue behind it would keep what came too late. And it
takes 210 µs of CPU an event, five times as much as this, and far more than the server. Here one
greenlet reads, and calls who listens.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import orjson
from gevent.event import Event
from gevent.lock import RLock

from loadtests.frames import BINARY, CLOSE, PING, PONG, TEXT, BadFrame, Frames, framed

Way = Literal["websocket", "upgrade"]
"""By WebSocket at once, or as browsers do: by polling, and then over."""

PATH = "/socket.io/?EIO=4&transport="
SEPARATOR = b"\x1e"
CONNECT_SECONDS = 20.0
ACK_SECONDS = 20.0
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What is raised by reading something that is not as the contract has it."""
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_BLOCK = 1 << 16


class Refused(Exception):
    """The server said no: its code, such as ``RATE_LIMITED`` or ``HTTP 503``, and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Hangup(Exception):
    """The connection is gone, and not because we closed it."""


class Unanswered(Exception):
    """The acknowledgement did not come."""


class Line:
    """One connection. ``hear`` is called with each event and its payload and must not wait; so is
    ``lost``, once, with the reason, when the connection is gone; and ``garbled`` with what is wrong
    with an event that cannot be read, which is left out.
    """

    def __init__(
        self,
        url: str,
        hear: Callable[[str, Any], None],
        lost: Callable[[str], None] = lambda _why: None,
        garbled: Callable[[str], None] = lambda _what: None,
    ) -> None:
        self._url = urlsplit(url)
        self._hear = hear
        self._lost = lost
        self._garbled = garbled
        self.gone = Event()
        self.why = ""
        self._settled = Event()
        self._refusal: Refused | None = None
        self._probed = Event()
        self._asked: dict[int, Callable[[Any], None]] = {}
        self._number = 0
        self._held: tuple[list[Any], int, list[bytes]] | None = None
        """An event whose attachments are still to come."""
        self._frames = Frames()
        self._writing = RLock()
        self._auth = b""
        self._socket: socket.socket | None = None
        self._reader: Any = None

    # ---- what a client does

    def connect(self, auth: Mapping[str, Any], way: Way = "websocket") -> None:
        """Returns when the server has let it in. Raises ``Refused``, ``Hangup`` or ``OSError``."""
        self._auth = orjson.dumps(auth)
        if way == "upgrade":
            self._climb()
        else:
            self._dial("")
        if not self._settled.wait(CONNECT_SECONDS):
            self.close()
            raise Hangup(f"not let in within {CONNECT_SECONDS:g} s")
        if self._refusal is not None:
            self.close()
            raise self._refusal
        if self.gone.is_set():
            raise Hangup(self.why)

    def emit(self, event: str, *arguments: Any) -> None:
        """Sends an event; an argument of bytes goes as an attachment. Raises ``Hangup``."""
        attachments = [each for each in arguments if isinstance(each, bytes)]
        if not attachments:
            self._send(b"42" + orjson.dumps([event, *arguments]))
            return
        (attachment,) = attachments
        place = {"_placeholder": True, "num": 0}
        said = [place if isinstance(each, bytes) else each for each in arguments]
        with self._writing:
            self._send(b"451-" + orjson.dumps([event, *said]))
            self._send(attachment, BINARY)

    def ask(self, event: str, payload: Mapping[str, Any], answer: Callable[[Any], None]) -> None:
        """Sends an event; ``answer`` is called with the acknowledgement, in its place among the
        events. Raises ``Hangup``.
        """
        self._number += 1
        self._asked[self._number] = answer
        self._send(b"42%d" % self._number + orjson.dumps([event, payload]))

    def call(self, event: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Sends an event; the acknowledgement. Raises ``Unanswered`` or ``Hangup``."""
        told: list[Any] = []
        came = Event()

        def answer(data: Any) -> None:
            told.append(data)
            came.set()

        self.ask(event, payload or {}, answer)
        gevent.wait([came, self.gone], timeout=ACK_SECONDS, count=1)
        if told:
            return told[0]
        if self.gone.is_set():
            raise Hangup(self.why)
        raise Unanswered(f"no acknowledgement of {event} within {ACK_SECONDS:g} s")

    def close(self) -> None:
        """Says goodbye and hangs up. No event is heard any more."""
        with suppress(Hangup):
            self._send(b"41")
        self.cut()

    def cut(self) -> None:
        """Hangs up without a word, as a network does. No event is heard any more."""
        self._hear, self._lost, self._garbled = _deaf, _unheard, _unheard
        self._over("we hung up")

    # ---- the line

    def _dial(self, sid: str) -> None:
        """Opens a WebSocket, and reads it from now on."""
        line = _opened(self._url.hostname or "", self._url.port, self._url.scheme)
        self._socket = line
        asked = f"&sid={sid}" if sid else ""
        line.sendall(
            f"GET {self._url.path.rstrip('/')}{PATH}websocket{asked} HTTP/1.1\r\n"
            f"Host: {self._url.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n".encode()
        )
        head, rest = _answer(line)
        if " 101 " not in head.partition("\r\n")[0]:
            line.close()
            raise _refusal(head, rest)
        self._reader = gevent.spawn(self._read, line, rest)

    def _climb(self) -> None:
        """In by polling, then over to WebSocket while it polls on, as the stock client does."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else None
        make = kind or http.client.HTTPConnection
        door = make(self._url.hostname or "", self._url.port, timeout=CONNECT_SECONDS)
        try:
            (opened, *early) = self._poll(door, "")
            sid = orjson.loads(opened[1:])["sid"]
            self._heard(early)
            self._poll(door, sid, b"40" + self._auth)
            while not self._settled.is_set():
                self._heard(self._poll(door, sid))
            if self._refusal is not None:
                return
            self._dial(sid)
            self._send(b"2probe")
            while not self._probed.is_set() and not self.gone.is_set():
                self._heard(self._poll(door, sid))
            self._send(b"5")
        except http.client.HTTPException as error:
            raise Hangup(f"polling: {type(error).__name__}") from error
        finally:
            door.close()

    def _poll(
        self, door: http.client.HTTPConnection, sid: str, packet: bytes | None = None
    ) -> list[bytes]:
        """Asks for packets, or brings one."""
        path = f"{self._url.path.rstrip('/')}{PATH}polling" + (f"&sid={sid}" if sid else "")
        door.request("GET" if packet is None else "POST", path, packet)
        answer = door.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise _refusal(f"HTTP/1.1 {answer.status} \r\n", body)
        return body.split(SEPARATOR) if packet is None else []

    def _heard(self, packets: list[bytes]) -> None:
        for packet in packets:
            self._understand(self._packet, packet)

    def _read(self, line: socket.socket, data: bytes) -> None:
        why = "the server hung up"
        try:
            while True:
                for opcode, payload in self._frames.feed(data):
                    if opcode == TEXT:
                        self._understand(self._packet, payload)
                    elif opcode == BINARY:
                        self._understand(self._attach, payload)
                    elif opcode == PING:
                        self._send(payload, PONG)
                    elif opcode == CLOSE and len(payload) >= 2:
                        why += f" with {int.from_bytes(payload[:2], 'big')}"
                data = line.recv(_BLOCK)
                if not data:
                    break
        except TimeoutError:
            why = "the server was silent for longer than between two pings"
        except (OSError, Hangup, BadFrame) as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            self._over(why)

    def _over(self, why: str) -> None:
        if self.gone.is_set():
            return
        self.why = why
        self.gone.set()
        self._settled.set()
        if self._socket is not None:
            self._socket.close()
        self._lost(why)

    def _send(self, packet: bytes, opcode: int = TEXT) -> None:
        if self._socket is None or self.gone.is_set():
            raise Hangup(self.why or "not connected")
        try:
            with self._writing:
                self._socket.sendall(framed(opcode, packet))
        except OSError as error:
            self._over(f"{type(error).__name__}: {error}")
            raise Hangup(self.why) from error

    # ---- packets of Engine.IO, and those of Socket.IO inside them

    def _understand(self, take: Callable[[bytes], None], payload: bytes) -> None:
        try:
            take(payload)
        except UNREADABLE as error:
            name = payload[:40].partition(b",")[0].decode(errors="replace")
            self._garbled(f"{name}: {type(error).__name__}: {error}")

    def _packet(self, packet: bytes) -> None:
        kind = packet[:2]
        if kind == b"42":
            self._hear(*orjson.loads(packet[2:]))
        elif kind == b"43":
            bracket = packet.index(b"[")
            answer = self._asked.pop(int(packet[2:bracket]), None)
            if answer is not None:
                answer(orjson.loads(packet[bracket:])[0])
        elif kind == b"45":
            count, _, text = packet[2:].partition(b"-")
            self._held = (orjson.loads(text), int(count), [])
        elif packet == b"2":
            self._send(b"3")
        elif packet == b"3probe":
            self._probed.set()
        elif kind == b"40":
            self._settled.set()
        elif kind == b"44":
            told = orjson.loads(packet[2:])
            error = told.get("data") or {}
            self._refusal = Refused(error.get("code", "REFUSED"), told.get("message", ""))
            self._settled.set()
        elif packet[:1] == b"0":
            self._opened(orjson.loads(packet[1:]))
        elif kind == b"41" or packet == b"1":
            self._over("the server said goodbye")

    def _opened(self, told: Mapping[str, Any]) -> None:
        if self._socket is not None:
            self._socket.settimeout((told["pingInterval"] + told["pingTimeout"]) / 1000)
            self._send(b"40" + self._auth)

    def _attach(self, payload: bytes) -> None:
        if self._held is None:
            raise BadFrame("an attachment that nothing was said about")
        said, count, attachments = self._held
        attachments.append(payload)
        if len(attachments) < count:
            return
        self._held = None
        name, *arguments = said
        self._hear(name, *(_filled(each, attachments) for each in arguments))


def _filled(value: Any, attachments: list[bytes]) -> Any:
    """A payload with its attachments where they belong: itself, or a field."""
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder"):
        return attachments[value["num"]]
    return {name: _filled(each, attachments) for name, each in value.items()}


def _opened(host: str, port: int | None, scheme: str) -> socket.socket:
    secure = scheme == "https"
    line = socket.create_connection((host, port or (443 if secure else 80)), CONNECT_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if secure:
        return ssl.create_default_context().wrap_socket(line, server_hostname=host)
    return line


def _answer(line: socket.socket) -> tuple[str, bytes]:
    """The head of an HTTP answer, and what came behind it. Raises ``Hangup``."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = line.recv(_BLOCK)
        if not more:
            raise Hangup("the server hung up on the handshake")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def _refusal(head: str, body: bytes) -> Refused:
    """What an HTTP answer that is no yes says."""
    status = head.split(maxsplit=2)[1]
    try:
        told = orjson.loads(body)
        return Refused(told["code"], told["message"])
    except (ValueError, KeyError, TypeError):
        return Refused(f"HTTP {status}", body[:100].decode(errors="replace"))


def _deaf(_event: str, _payload: Any = None) -> None:
    """Nobody listens any more."""


def _unheard(_why: str) -> None:
    """Nobody wants to know."""
