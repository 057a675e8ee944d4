// Asks one question and prints the answer as it comes: whole, however often the line is cut.
//
//   node chat.mjs "Tell me a joke"
//
// TALKSY_URL is where Talksy runs, http://localhost:3000 unless set. TALKSY_TOKEN is an access
// token; without one you are a guest. It ends with 0 when the answer is complete, 1 when it is not,
// 2 when nothing was asked, 130 after Ctrl-C.

import { io } from "socket.io-client";

const { TALKSY_URL: url = "http://localhost:3000", TALKSY_TOKEN: token } = process.env;
const LATER = ["RATE_LIMITED", "SESSION_LIMIT", "OVERLOADED", "SERVER_DRAINING"];

const text = process.argv.slice(2).join(" ").trim();
if (!text) {
  console.error('Ask something: node chat.mjs "Tell me a joke"');
  process.exit(2);
}

// The same id however often it is sent: what was heard once is not answered twice.
const messageId = crypto.randomUUID();
let turnId; // of the answer, once the message is acknowledged
let after = -1; // the last number seen of it
let answer = "";
let stopped = false;

// The client looks into `auth` at each connect: there the session and the guest are found again.
const auth = { token, open: true };
const socket = io(url, { auth, reconnectionDelay: 300, reconnectionAttempts: 10 });

const say = (line) => console.error(`(${line})`);
// What would steer the terminal is left out.
const show = (piece) => process.stdout.write(piece.replace(/[^\P{Cc}\n\t]/gu, ""));

function end(code, line) {
  if (answer) show("\n");
  if (line) say(line);
  process.exitCode = code;
  process.removeAllListeners("SIGINT");
  socket.close();
}

function welcome({ sessionId, guestToken, activeTurns = [] }) {
  auth.sessionId = sessionId;
  if (guestToken) auth.token = guestToken;
  // What was refused on a line that was cut is refused again.
  for (const { pending = [] } of activeTurns) pending.forEach(refuse);
  socket.emit("user_message_stream", { text, messageId }, (ack) => {
    if (!ack.ok) return end(1, ack.error.message);
    turnId = ack.turnId;
    if (ack.duplicate) resume();
    if (stopped) stop();
  });
}

function resume() {
  socket.emit("resume", { turnId, after }, (ack) => {
    if (!ack.ok) end(1, ack.error.message);
  });
}

function read({ seq }, take) {
  if (seq <= after) return; // seen before
  after = seq;
  take();
}

function refuse(callId) {
  socket.emit("tool_decision", { callId, decision: "deny" });
}

function stop() {
  stopped = true; // should the line be cut just now, it is said again after the next connect
  if (turnId) socket.emit("cancel", { turnId });
}

socket.on("SESSION_CREATED", welcome);
socket.on("SESSION_RESTORED", welcome);

socket.on("stream_chunk", (chunk) =>
  read(chunk, () => {
    answer += chunk.content;
    show(chunk.content);
  }),
);

socket.on("stream_reset", (reset) =>
  read(reset, () => {
    if (answer) show("\n");
    answer = "";
    say("that is void: the answer begins anew");
  }),
);

socket.on("tool_call", (call) =>
  read(call, () => {
    say(`${call.toolName} ${JSON.stringify(call.parameters)}`);
    // Nobody is asked here, so nobody agrees.
    if (call.needsApproval) refuse(call.callId);
  }),
);

socket.on("tool_result", (result) =>
  read(result, () => result.success || say(`${result.toolName}: ${result.error.message}`)),
);

socket.on("stream_end", (ending) =>
  read(ending, () => {
    // The whole text comes along where chunks are no longer kept: what is missing of it is shown.
    const whole = ending.text ?? answer;
    show(whole.startsWith(answer) ? whole.slice(answer.length) : `\n${whole}`);
    answer = whole;
    if (ending.reason === "completed") end(0);
    else end(stopped ? 130 : 1, ending.error?.message ?? ending.reason);
  }),
);

socket.on("error", ({ message }) => say(message));

socket.on("connect_error", (error) => {
  if (socket.active) return; // no line: the library tries again
  const { code, message = error.message, retryAfter = 1 } = error.data ?? {};
  if (!LATER.includes(code)) return end(1, message);
  say(message);
  setTimeout(() => socket.connect(), retryAfter * 1000);
});

socket.on("disconnect", (reason) => {
  // When it was the server who hung up, the library leaves it at that.
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), 1000);
});

socket.io.on("reconnect_failed", () => end(1, `cannot reach ${url}`));

process.once("SIGINT", stop); // a second one ends it at once
