// Many stock Socket.IO clients in one process. Each asks and resumes as the README shows, and tells
// at the end what it was given. Out go JSON lines: {name, data}.
//
//   node crowd.mjs '{"url": …, "clients": 12, "turns": 1, "text": …, "moves"?: 0.5, "options"?: {…}}'
//
// `moves` is the share of clients that go elsewhere when their server says that it drains; the
// others stay until it hangs up. A line on stdin is "enough", so that no further turn is begun, or
// "now", to tell what there is and end.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const { url, clients, turns, text, moves = 0, options } = JSON.parse(process.argv[2]);
const tell = (name, data = null) => console.log(JSON.stringify({ name, data }));
let enough = false;

function client(number) {
  const auth = { open: true };
  const told = { number, connects: 0, ids: [], ways: [], errors: [], turns: [] };
  const socket = io(url, {
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 500,
    ...options,
    auth: (send) => send(auth),
  });
  const begun = deferred();
  const done = deferred();
  let turn, again;

  const begin = (messageId, turnId) => {
    turn = { messageId, turnId, after: -1, events: [] };
    told.turns.push(turn);
    return turn;
  };
  const next = () => {
    if (enough || told.turns.length >= turns) return done.resolve();
    begin(crypto.randomUUID());
    say();
  };
  const say = () => {
    const asked = turn;
    const { messageId, retry } = asked;
    socket.emit("user_message_stream", { text, messageId, retry }, (ack) => {
      if (!ack.ok) {
        told.errors.push(ack.error.code);
        clearTimeout(again);
        again = setTimeout(() => socket.connected && asked === turn && say(), 300);
        return;
      }
      const its = of(ack.turnId);
      // What begins now comes by itself, and may be over before anybody could ask for it.
      if (ack.duplicate) resume(its);
    });
  };
  const resume = ({ turnId, after }) =>
    socket.emit("resume", { turnId, after }, (ack) => {
      if (!ack.ok) told.errors.push(ack.error.code);
    });
  // A turn that ended before its first word may be tried again: as another one.
  const of = (turnId) => {
    const known = told.turns.find((each) => each.turnId === turnId);
    if (known) return known;
    if (turn.turnId) return begin(turn.messageId, turnId);
    turn.turnId = turnId;
    return turn;
  };
  const greet = ({ sessionId, guestToken }) => {
    auth.sessionId = sessionId;
    auth.token = guestToken ?? auth.token;
    if (turn && !turn.ended) say();
    else if (!turn) next();
  };

  socket.io.on("open", () => {
    const { engine } = socket.io;
    told.ids.push(engine.id);
    told.ways.push(engine.transport.name);
    engine.once("upgrade", (transport) => told.ways.push(transport.name));
  });
  socket.on("connect", () => (told.connects += 1));
  socket.on("connect_error", ({ message, data }) => {
    told.errors.push(data?.code ?? message);
    // Refused by the server, it does not come back by itself.
    if (!socket.active) setTimeout(() => socket.connect(), 1000 * (data?.retryAfter ?? 1));
  });
  socket.on("error", (error) => told.errors.push(error.code));
  socket.on("SESSION_CREATED", greet).on("SESSION_RESTORED", greet);
  socket.on("server_draining", ({ reconnectAfterMs }) => {
    const { engine } = socket.io;
    const leave = () => engine.readyState === "open" && engine.close();
    if (number < moves * clients) setTimeout(leave, reconnectAfterMs);
  });
  socket.onAny((name, data) => {
    if (!name.startsWith("stream_")) return;
    const its = of(data.turnId);
    its.after = data.seq;
    its.events.push({ name, data });
    if (name === "stream_chunk") begun.resolve();
    if (name !== "stream_end" || its !== turn) return;
    if (data.nextTurnId) return of(data.nextTurnId);
    if (data.error?.code === "OVERLOADED") {
      begin(its.messageId).retry = true;
      return setTimeout(say, 1000 * data.error.retryAfter);
    }
    its.ended = true;
    setTimeout(next);
  });
  return { begun: begun.promise, done: done.promise, told, close: () => socket.close() };
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}

const all = Array.from({ length: clients }, (_, number) => client(number));
const report = () => {
  for (const { told } of all) tell("client", told);
  all.forEach(({ close }) => close());
  process.stdout.write("", () => process.exit(0));
};
createInterface({ input: process.stdin }).on("line", (line) => {
  enough = true;
  if (line === "now") report();
});
await Promise.all(all.map(({ begun }) => begun));
tell("begun");
await Promise.all(all.map(({ done }) => done));
// What would come a second time has had its time when the last of them is done.
report();
