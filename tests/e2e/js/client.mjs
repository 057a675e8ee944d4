// The stock Socket.IO client under remote control. Commands come as JSON lines on stdin, all that
// happens goes out as JSON lines on stdout: {name, data}.
//
//   node client.mjs '{"url": …, "token"?: …, "sessionId"?: …, "options"?: {…}}'
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const { url, token, sessionId, options } = JSON.parse(process.argv[2]);
const seen = { token, sessionId, turns: new Map() };
// JSON has no bytes: they go as {$bytes: base64}, both ways.
function packed(key, value) {
  return Buffer.isBuffer(this[key]) ? { $bytes: this[key].toString("base64") } : value;
}
const unpacked = (key, value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes, "base64"));
const tell = (name, data = null) => console.log(JSON.stringify({ name, data }, packed));

const socket = io(url, {
  reconnectionDelay: 20,
  reconnectionDelayMax: 100,
  ...options,
  auth: (send) => {
    const resume = [...seen.turns].map(([turnId, after]) => ({ turnId, after }));
    send({ token: seen.token, sessionId: seen.sessionId, resume });
  },
});

socket.on("connect", () => {
  const { engine } = socket.io;
  tell("connect", { transport: engine.transport.name, recovered: socket.recovered });
  engine.once("upgrade", (transport) => tell("upgrade", transport.name));
});
socket.on("disconnect", (reason) => tell("disconnect", reason));
socket.on("connect_error", (error) => tell("connect_error", { message: error.message, data: error.data }));

socket.onAny((name, data) => {
  if (name === "SESSION_CREATED" || name === "SESSION_RESTORED") seen.sessionId = data.sessionId;
  if (data?.guestToken) seen.token = data.guestToken;
  const numbered = data?.seq !== undefined && seen.turns.has(data.turnId);
  if (name === "stream_start" || numbered) seen.turns.set(data.turnId, data.seq);
  if (name === "stream_end") seen.turns.delete(data.turnId);
  tell(name, data);
});

// Speaks as a microphone does: a piece when its time has come, by the clock.
function speak({ pcm, size, ms }) {
  const began = performance.now();
  let sent = 0;
  const next = () => {
    while (sent * size < pcm.length && sent * ms <= performance.now() - began) {
      socket.emit("audio", pcm.subarray(sent * size, ++sent * size));
    }
    if (sent * size >= pcm.length) return tell("spoken");
    setTimeout(next, began + sent * ms - performance.now());
  };
  next();
}

const commands = {
  speak,
  emit: ({ event, payload, id }) => {
    if (id === undefined) return socket.emit(event, payload);
    return socket.emit(event, payload, (ack) => {
      // Until its first event is here, a turn is known from its acknowledgement alone.
      if (event === "user_message_stream" && ack.ok) seen.turns.set(ack.turnId, -1);
      tell("ack", { ...ack, id });
    });
  },
  drop: () => socket.io.engine.close(),
  quit: () => {
    socket.close();
    process.exit(0);
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line, unpacked);
  commands[command.do](command);
});
