"""A session that is spoken in, and that goes on when its line is cut."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from talksy.cli.chat import ended, notice, out, plain, show
from talksy.cli.sound import Recorder
from talksy.cli.wire import Payload, Refused, Wire

REPORT_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""After so long without a word nothing more is waited for."""
BUSY_SECONDS = 0.5
"""Until the microphone is asked for again that the server believes to be at the other end of the
line that was cut."""
ADRIFT_SECONDS = 5.0
"""So long what was said when the line was cut may take to be answered."""


class Line:
    """Speaks, and shows and plays what comes back."""

    def __init__(
        self,
        url: str,
        token: str,
        player: Recorder,
        start: Mapping[str, Any],
        *,
        renew: Callable[[], Awaitable[str | None]],
    ) -> None:
        """``start`` is what ``voice_start`` is sent; ``renew`` is as of ``Wire``."""
        self._player = player
        self._start = start
        self._wire = Wire(
            url,
            token,
            renew=renew,
            notice=notice,
            hello=self._hello,
            hear=self._hear,
            part=self._part,
        )
        self._news = asyncio.Condition()
        self._session_id: str | None = None
        self._listens = False
        """The server listens to this microphone."""
        self._lines = 0
        """How many lines there were."""
        self._refusal: str | None = None
        self._said = 0
        """What was said and is not understood yet."""
        self._adrift = False
        """Something was being said when the line was cut."""
        self._answers: set[str] = set()
        self._after: dict[str, int] = {}
        """The number of the last event of each turn."""
        self._shown: tuple[str, str] | None = None
        """The turn whose text is being shown, and the text."""
        self._dictated = False
        """Something was understood that is not answered before the end."""
        self._began = False
        """An answer has begun."""
        self._failed = False
        """Something went wrong."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._reporting: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """As ``Wire.keep``."""
        await self._wire.keep()

    async def close(self) -> None:
        """Hangs up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wire.close()

    # ---- what is said

    async def listening(self) -> None:
        """Returns when the server listens. Raises ``Refused`` where it does not want to."""
        await self._until(lambda: self._listens)

    async def say(self, pcm: bytes) -> None:
        """Says the next of what was recorded, when somebody listens. Raises ``Refused``."""
        await self.listening()
        await self._wire.emit("audio", pcm)

    async def live(self, pcm: bytes) -> None:
        """Says what is said now; while nobody listens it is lost."""
        if self._listens:
            await self._wire.emit("audio", pcm)

    async def call(self, event: str, payload: Any) -> None:
        """Sends an event until it is acknowledged, on whichever line. Raises ``Refused``."""
        acks: list[Payload] = []

        async def acknowledged(ack: Payload) -> None:
            acks.append(ack)
            await self._tell()

        while not acks:
            await self.listening()
            line = self._lines
            await self._wire.emit(event, payload, acknowledged)
            await self._until(lambda: acks or self._lines != line)  # noqa: B023 - it is awaited here
        if not acks[0]["ok"]:
            raise Refused(acks[0]["error"]["message"])

    async def settled(self) -> None:
        """Returns when all that was said is understood, answered and spoken."""
        await self._until(lambda: not self._said and not self._answers and not self._adrift)

    async def answered(self) -> None:
        """Returns when what was dictated, if anything was, is being answered, or will not be."""
        await self._until(lambda: not self._dictated or self._began or self._failed)
        await self.settled()

    async def _until(self, condition: Callable[[], object]) -> None:
        """Returns once it holds. Raises ``Refused`` where the server says no or nothing comes."""
        async with self._news:
            while not condition():
                if self._refusal is not None:
                    raise Refused(self._refusal)
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    raise Refused("the server says nothing any more") from None

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # ---- the line

    def _hello(self) -> Payload:
        resume = [{"turnId": each, "after": self._after.get(each, -1)} for each in self._answers]
        return {"sessionId": self._session_id, "open": True, "resume": resume}

    def _part(self) -> None:
        self._lines += 1
        self._listens = False
        self._adrift = self._said > 0
        self._said = 0
        self._player.clear()
        self._report(None)
        self._do(self._tell())

    async def _welcomed(self, data: Payload) -> None:
        if data.get("restoreFailed"):
            notice("the session has ended: a new one begins")
            self._answers.clear()
        self._session_id = data["sessionId"]
        for turn in data.get("activeTurns", ()):
            if turn["turnId"] not in self._answers:
                self._asked(data["history"])
                self._answers.add(turn["turnId"])
                resume = {"turnId": turn["turnId"], "after": -1}
                await self._wire.emit("resume", resume, self._wire.complain)
        await self._take_microphone()
        if self._adrift:
            self._do(self._give_up())

    async def _take_microphone(self) -> None:
        line = self._lines

        async def acknowledged(ack: Payload) -> None:
            if line != self._lines:
                return
            if ack["ok"]:
                self._listens = True
            elif line and ack["error"]["code"] == "MIC_BUSY":
                self._do(self._ask_again(line))
            else:
                self._refusal = ack["error"]["message"]
            await self._tell()

        await self._wire.emit("voice_start", dict(self._start), acknowledged)

    async def _ask_again(self, line: int) -> None:
        await asyncio.sleep(BUSY_SECONDS)
        if line == self._lines:
            await self._take_microphone()

    async def _give_up(self) -> None:
        await asyncio.sleep(ADRIFT_SECONDS)
        self._adrift = False
        await self._tell()

    def _do(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- what comes in

    async def _hear(self, name: str, data: Any) -> None:
        if self._known(data):
            return
        match name:
            case "SESSION_CREATED" | "SESSION_RESTORED":
                await self._welcomed(data)
            case "speech_started":
                self._said += 1
            case "final_transcript":
                self._understood(data)
            case "message_added":
                self._asked([data])
            case "stream_start" | "stream_chunk" | "stream_reset" | "stream_end":
                self._read(name, data)
            case "audio_start" | "audio_chunk" | "audio_clear" | "audio_end":
                self._sound(name, data)
            case "auth_expiring":
                await self._wire.freshen()
            case "error":
                self._said = max(0, self._said - 1)
                self._failed = True
                notice(data["message"])
            case _:
                self._remark(name, data)
        await self._tell()

    def _remark(self, name: str, data: Any) -> None:
        match name:
            case "wake_word":
                notice(f"{data['wakeWord']}!")
            case "tool_call":
                notice(f"it asks for {data['toolName']}")
            case "server_draining":
                notice("the server is about to stop")

    def _known(self, data: Any) -> bool:
        """Whether it was heard before."""
        if not isinstance(data, dict) or "seq" not in data or "turnId" not in data:
            return False
        turn_id, seq = data["turnId"], data["seq"]
        if seq <= self._after.get(turn_id, -1):
            return True
        self._after[turn_id] = seq
        return False

    def _asked(self, messages: Sequence[Payload]) -> None:
        """Shows the last question, which nobody told of but as a message."""
        asked = [each["content"] for each in messages if each["role"] == "user"]
        if asked:
            self._adrift = False
            out.print(f"you: {plain(asked[-1])}", markup=False)

    def _understood(self, data: Payload) -> None:
        self._said = max(0, self._said - 1)
        if "turnId" in data:
            self._answers.add(data["turnId"])
        elif data["text"]:
            self._dictated = True
        if data["text"]:
            out.print(f"you: {plain(data['text'])}", markup=False)

    def _read(self, name: str, data: Payload) -> None:
        turn_id = data["turnId"]
        match name:
            case "stream_start":
                self._began = True
                self._adrift = False
                self._answers.add(turn_id)
            case "stream_chunk":
                self._write(turn_id, data["content"])
            case "stream_reset":
                show("\n")
                self._shown = None
            case "stream_end":
                self._finish(turn_id, data)

    def _write(self, turn_id: str, piece: str) -> None:
        shown = self._shown[1] if self._shown and self._shown[0] == turn_id else None
        if shown is None:
            show("talksy: ")
        self._shown = (turn_id, (shown or "") + piece)
        show(piece)

    def _finish(self, turn_id: str, data: Payload) -> None:
        shown = self._shown[1] if self._shown and self._shown[0] == turn_id else ""
        text = data.get("text") or ""
        if len(text) > len(shown) and text.startswith(shown):
            self._write(turn_id, text.removeprefix(shown))
        self._shown = None
        self._answers.discard(turn_id)
        ended(data)
        if "mouthToEarMs" in data.get("metrics", {}):
            notice(f"heard {data['metrics']['mouthToEarMs']} ms after the last word")

    # ---- what is heard

    def _sound(self, name: str, data: Payload) -> None:
        match name:
            case "audio_start":
                self._player.start()
                self._report(data["turnId"])
            case "audio_chunk":
                self._player.play(data["audio"])
            case "audio_clear":
                self._player.clear()
                self._report(None)
            case "audio_end":
                self._report(None)

    def _report(self, turn_id: str | None) -> None:
        """Tells each second what was played of a turn; of none any more where that is None."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = None if turn_id is None else self._do(self._reports(turn_id))

    async def _reports(self, turn_id: str) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            played = {"turnId": turn_id, "ms": self._player.played_ms}
            await self._wire.emit("played", played)
