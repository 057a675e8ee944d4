// A conversation that outlives its connection. Three habits make it lose nothing:
//
// 1. A message keeps its messageId until it is acknowledged, and is sent again at every connect.
//    What arrived the first time is not said twice.
// 2. Of each answer the last `seq` is remembered. `resume` in the handshake reads on behind it.
// 3. The sessionId goes into every handshake, so that the same conversation is found again.
//
// It knows nothing of the page: what happens is told to `page`, an object of functions.

import { io } from "./node_modules/socket.io-client/dist/socket.io.esm.min.js";

const NO_ENTRY = ["UNAUTHENTICATED", "TOKEN_EXPIRED"];
const LATER = ["RATE_LIMITED", "SESSION_LIMIT", "OVERLOADED", "SERVER_DRAINING", "INTERNAL_ERROR"];

export class Chat {
  #account;
  #page;
  #socket;
  #sessionId;
  #ready = false; // the session stands
  #unsent = new Map(); // messages nobody acknowledged yet, by messageId
  #turns = new Map(); // answers under way, by turnId

  constructor(account, page) {
    this.#account = account;
    this.#page = page;
    this.#sessionId = account.kept.sessionId;
    this.#socket = io(account.server, {
      reconnectionDelay: 300,
      auth: (send) => this.#hello().then(send), // asked anew at every connect
    });
    const hear = {
      connect_error: (error) => this.#refused(error),
      disconnect: (reason) => this.#lost(reason),
      SESSION_CREATED: (session) => this.#welcome(session),
      SESSION_RESTORED: (session) => this.#welcome(session),
      message_added: (message) => page.message(message),
      stream_start: (event) => this.#read(event, () => {}),
      stream_chunk: (event) => this.#read(event, (turn) => page.piece(turn, event.content)),
      stream_reset: (event) => this.#read(event, (turn) => page.reset(turn)),
      stream_end: (event) => this.#read(event, (turn) => this.#end(turn, event)),
      tool_call: (event) => this.#read(event, (turn) => page.called(turn, event)),
      tool_decided: (event) => page.decided(event),
      tool_result: (event) => this.#read(event, (turn) => page.settled(turn, event)),
      rate_limit: (limit) => page.limit(limit),
      auth_expiring: (notice) => this.#renew(notice),
      session_expired: () => page.notice("This session has ended: the next message opens another."),
      server_draining: () => page.notice("The server is about to stop: coming back in a moment."),
      error: (error) => this.#fault(error),
    };
    for (const [name, heard] of Object.entries(hear)) this.#socket.on(name, heard);
  }

  /** Says something. With `retry` it is said again because its answer failed. */
  say(text, messageId = newId(), retry = undefined) {
    this.#unsent.set(messageId, { text, messageId, retry });
    this.#send();
    return messageId;
  }

  /** Stops the answer that runs: the oldest of those under way. */
  stop() {
    const [turn] = this.#turns.values();
    if (turn) {
      turn.unwanted = true; // told again at the next connect, should the line be cut just now
      this.#cancel();
    }
  }

  /** Lets a tool run that waits for a person, or not; the first decision counts. */
  decide(callId, decision) {
    this.#socket.emit("tool_decision", { callId, decision }, (ack) => ack.ok || this.#fault(ack.error));
  }

  // ---- coming and going

  async #hello() {
    const resume = [...this.#turns.values()].map(({ turnId, after }) => ({ turnId, after }));
    // Where no fresh token can be had, the handshake will say what is wrong.
    const token = await this.#account.token().catch(() => this.#account.kept.accessToken);
    return { token, sessionId: this.#sessionId, open: true, resume };
  }

  #welcome({ sessionId, guestToken, history, activeTurns = [], restoreFailed }) {
    this.#sessionId = sessionId;
    this.#account.keep(guestToken ? { sessionId, guestToken } : { sessionId });
    this.#ready = true;
    this.#page.state("here");
    if (restoreFailed) {
      this.#page.notice("That conversation is gone: a new one begins.");
      this.#turns.clear();
    }
    if (history || restoreFailed)
      this.#page.history(history ?? [], [...this.#turns.values()], [...this.#unsent.values()]);
    // After a reload nothing is known of the answers that run: they are read from their beginning.
    for (const { turnId } of activeTurns) if (!this.#turns.has(turnId)) this.#resume(turnId, -1);
    this.#send();
    this.#cancel();
  }

  #lost(reason) {
    this.#ready = false;
    this.#page.state("away");
    // The library comes back by itself, unless it was the server who hung up.
    if (reason === "io server disconnect") this.#comeBack();
  }

  async #refused(error) {
    if (this.#socket.active) return this.#page.state("away"); // no line: the library tries again
    const { code, message, retryAfter } = error.data ?? {};
    if (NO_ENTRY.includes(code)) {
      if (!(await this.#account.recover().catch(() => true))) return this.#page.state("out");
    } else if (!LATER.includes(code)) {
      return this.#page.state("refused", message ?? error.message);
    }
    this.#page.state("away", message);
    this.#comeBack(retryAfter);
  }

  #comeBack(seconds = 1) {
    setTimeout(() => this.#socket.connect(), seconds * 1000);
  }

  /** The token of the open socket is about to run out: it goes on under a fresh one. */
  async #renew({ guestToken }) {
    if (guestToken) this.#account.keep({ guestToken }); // a guest is given it, users get theirs
    try {
      const token = guestToken ?? (await this.#account.renew());
      if (token)
        this.#socket.emit("auth_refresh", { token }, (ack) => ack.ok || this.#fault(ack.error));
    } catch (error) {
      // No harm yet: when the server closes the socket, the next handshake tries again.
      this.#page.notice(error.message);
    }
  }

  // ---- what goes out

  #send() {
    if (!this.#ready) return;
    for (const message of this.#unsent.values()) {
      if (message.socketId === this.#socket.id) continue; // its acknowledgement is on its way
      const { text, messageId, retry } = message;
      message.socketId = this.#socket.id;
      this.#socket.emit("user_message_stream", { text, messageId, retry }, (ack) => {
        this.#unsent.delete(messageId);
        if (!ack.ok) return this.#page.refused(messageId, ack.error);
        const turn = this.#turn(ack.turnId, messageId);
        if (ack.duplicate) this.#resume(turn.turnId, turn.after);
      });
    }
  }

  #resume(turnId, after) {
    this.#socket.emit("resume", { turnId, after }, (ack) => {
      if (!ack.ok) this.#fault({ turnId, ...ack.error });
    });
  }

  #cancel() {
    if (!this.#ready) return;
    for (const { turnId, unwanted } of this.#turns.values())
      if (unwanted)
        this.#socket.emit("cancel", { turnId }, (ack) => ack.ok || this.#fault(ack.error));
  }

  // ---- what comes in

  #turn(turnId, messageId) {
    if (!this.#turns.has(turnId)) {
      const turn = { turnId, messageId, after: -1, unwanted: false };
      this.#turns.set(turnId, turn);
      this.#page.began(turn);
    }
    return this.#turns.get(turnId);
  }

  #read({ turnId, messageId, seq }, show) {
    if (!turnId) return; // a tool that another client calls by itself
    const turn = this.#turn(turnId, messageId);
    if (seq <= turn.after) return; // seen before
    turn.after = seq;
    show(turn);
  }

  #end(turn, end) {
    this.#turns.delete(turn.turnId);
    this.#page.ended(turn, end, this.#turns.size > 0);
  }

  #fault(error) {
    const turn = this.#turns.get(error.turnId);
    if (turn) this.#end(turn, { reason: "failed", error });
    else if (!error.turnId) this.#page.notice(error.message); // else nobody sees that turn here
  }
}

/** 128 random bits. Browsers have crypto.randomUUID on https and localhost alone. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
