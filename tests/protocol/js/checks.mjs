// The stock client against an app that does all that it can be asked for. Runs every check and tells
// what it came to, a JSON line each: {name, fault}, where fault is null or what went wrong.
//
//   node checks.mjs MODULES URL '["polling","websocket"]' [AUTHORITY]
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, url, transports, authority] = process.argv.slice(2);
const { io, Manager } = createRequire(`${modules}/`)("socket.io-client");
const options = { transports: JSON.parse(transports), forceNew: true, reconnectionDelay: 10 };
if (authority) options.ca = readFileSync(authority);
const SECONDS = 10;

const opened = new Set();
const open = (more = {}, namespace = "") => {
  const socket = io(url + namespace, { ...options, ...more });
  opened.add(socket);
  return socket;
};

const limited = (promise, what) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what}`)), SECONDS * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};
const once = (source, event) =>
  limited(new Promise((resolve) => source.once(event, (...told) => resolve(told))), event);
const until = async (source, event, holds) => {
  for (;;) {
    const told = await once(source, event);
    if (holds(...told)) return told;
  }
};
const ready = async (...settings) => {
  const socket = open(...settings);
  if (!socket.connected) await once(socket, "connect");
  return socket;
};
// The answer to one argument comes back as one.
const ask = (socket, event, ...data) => socket.timeout(SECONDS * 1000).emitWithAck(event, ...data);
const bytes = (length, first = 0) => Buffer.from({ length }, undefined).map((_, i) => (i + first) % 251);

const checks = {
  "what is emitted early arrives in order": async () => {
    const socket = open();
    const asked = [...Array(20).keys()].map((number) => ask(socket, "echo", number));
    assert.deepEqual(await Promise.all(asked), [...Array(20).keys()]);
  },

  "a stream is whole and in order, also across an upgrade": async () => {
    const socket = await ready();
    const came = [];
    socket.on("token", (number, data) => came.push([number, data.length]));
    await ask(socket, "stream", 200, 0.001, bytes(9));
    assert.deepEqual(came, [...Array(200).keys()].map((number) => [number, 9]));
    const last = options.transports.at(-1);
    assert.equal(socket.io.engine.transport.name, last);
    assert.equal(await ask(socket, "transport"), last);
  },

  "text and bytes go both ways": async () => {
    const socket = await ready();
    const sent = { text: "grüße 😀 \u0000", data: bytes(70_000), list: [bytes(1), { deep: bytes(0) }] };
    socket.emit("bounce", sent, 7, null);
    const came = await once(socket, "bounce");
    assert.deepEqual(came, [sent, 7, null]);
  },

  "acknowledgements carry text and bytes": async () => {
    const socket = await ready();
    assert.deepEqual(await ask(socket, "echo", { a: [1, "ä"] }), { a: [1, "ä"] });
    assert.deepEqual(await ask(socket, "echo", bytes(300)), bytes(300));
  },

  "the server asks and is answered": async () => {
    const socket = await ready();
    socket.on("question", (question, answer) => answer(question));
    for (const question of ["why", { deep: [1] }, bytes(1_000)])
      assert.deepEqual(await ask(socket, "ask", question), { answer: question });
  },

  "an answer may be given to a callback": async () => {
    const socket = await ready();
    socket.on("question", (question, answer) => answer(question, bytes(5)));
    socket.emit("ask_back", "why");
    assert.deepEqual(await once(socket, "answered"), ["why", bytes(5)]);
  },

  "a megabyte goes both ways": async () => {
    const socket = await ready();
    const text = "ü".repeat(500_000);
    assert.equal(await ask(socket, "echo", text), text);
    assert.deepEqual(await ask(socket, "echo", bytes(1_000_000)), bytes(1_000_000));
  },

  "more than the limit closes": async () => {
    const socket = await ready({ reconnection: false });
    socket.emit("echo", "x".repeat(1_600_000));
    const [reason] = await once(socket, "disconnect");
    assert.match(reason, /transport (close|error)/);
  },

  "namespaces share a connection": async () => {
    const manager = new Manager(url, options);
    const [main, other, shop] = ["/", "/other", "/shop"].map((name) => manager.socket(name));
    await Promise.all([once(main, "connect"), once(other, "connect"), once(shop, "connect")]);
    assert.equal(new Set([main.id, other.id, shop.id]).size, 3);
    other.disconnect();
    assert.equal(await ask(main, "echo", 1), 1);
    assert.equal(await ask(shop, "buy", "lamp"), "one lamp");
    const nowhere = manager.socket("/nowhere");
    const [error] = await once(nowhere, "connect_error");
    assert.equal(error.message, "Invalid namespace");
    assert.equal(await ask(main, "echo", 2), 2);
    [main, shop, nowhere].forEach((socket) => socket.disconnect());
  },

  "a namespace may be a class": async () => {
    const socket = open({}, "/shop");
    const [{ sid }] = await once(socket, "welcome");
    const sold = once(socket, "sold");
    assert.equal(await ask(socket, "buy", "chair"), "one chair");
    assert.deepEqual(await sold, ["chair"]);
    assert.equal(sid, socket.id);
  },

  "who is refused is told why": async () => {
    const socket = open({ auth: { refuse: 7 } });
    const [error] = await once(socket, "connect_error");
    assert.equal(error.message, "no way");
    assert.deepEqual(error.data, { code: 7 });
  },

  "who comes back by force has a new id": async () => {
    const socket = await ready();
    const ids = new Set([socket.id]);
    for (let round = 0; round < 3; round++) {
      const back = once(socket, "connect");
      socket.io.engine.close();
      await back;
      ids.add(socket.id);
      assert.equal(await ask(socket, "echo", round), round);
    }
    assert.equal(ids.size, 4);
  },

  "who is put out does not come back": async () => {
    const socket = await ready();
    const gone = once(socket, "disconnect");
    socket.emit("kick");
    assert.deepEqual((await gone)[0], "io server disconnect");
    socket.connect();
    await once(socket, "connect");
    assert.equal(await ask(socket, "echo", 1), 1);
  },

  "who is dropped comes back": async () => {
    const socket = await ready();
    const back = once(socket.io, "reconnect");
    socket.emit("drop");
    const [reason] = await once(socket, "disconnect");
    assert.equal(reason, "transport close");
    await back;
    assert.equal(await ask(socket, "echo", 1), 1);
  },

  "ten emitters at once do not tear each other's packets": async () => {
    const socket = await ready();
    const next = Array(10).fill(0);
    socket.on("ten", (who, number, { data, more }) => {
      assert.equal(number, next[who]++);
      assert.deepEqual(data, Buffer.alloc(3_000, who));
      assert.deepEqual(more, [Buffer.from([number])]);
    });
    const ended = once(socket, "ten ended");
    socket.emit("ten", 30, 3_000);
    await ended;
    assert.deepEqual(next, Array(10).fill(30));
  },

  "rooms have members": async () => {
    const [one, two, three] = await Promise.all([ready(), ready(), ready()]);
    assert.deepEqual(await ask(one, "enter", "room"), [one.id, "room"].sort());
    await ask(two, "enter", "room");
    await ask(three, "enter", "elsewhere");
    const told = [];
    for (const socket of [one, two, three]) socket.on("told", (data) => told.push([socket.id, data]));
    one.emit("tell", "room", 1);
    await once(two, "told");
    one.emit("tell", ["room", "elsewhere"], 2);
    await once(three, "told");
    assert.deepEqual(await ask(two, "leave", "room"), [two.id]);
    await ask(three, "enter", "room");
    await ask(three, "close_room", "room");
    one.emit("tell", "room", 3);
    one.emit("tell", three.id, 4);
    await until(three, "told", (data) => data === 4);
    await Promise.all([one, two].map((socket) => ask(socket, "echo", 0)));
    assert.deepEqual(told.filter(([id]) => id === one.id), []);
    assert.deepEqual(told.filter(([id]) => id === two.id), [[two.id, 1], [two.id, 2]]);
    assert.deepEqual(told.filter(([id]) => id === three.id), [[three.id, 2], [three.id, 4]]);
  },

  "bytes for everybody reach who polls and who does not": async () => {
    const sockets = [await ready(), await ready({ transports: ["polling"] }), await ready({ transports: ["websocket"] })];
    const told = sockets.map((socket) => until(socket, "told", (data) => data?.mark === "mixed"));
    sockets[0].emit("tell_all", { mark: "mixed", data: bytes(400), more: [bytes(3)] });
    for (const [data] of await Promise.all(told))
      assert.deepEqual(data, { mark: "mixed", data: bytes(400), more: [bytes(3)] });
  },

  "a session is kept": async () => {
    const [one, two] = await Promise.all([ready(), ready()]);
    one.emit("remember", { name: "one" });
    await ask(one, "echo", 1);
    assert.deepEqual(await ask(one, "recall"), { name: "one" });
    assert.equal(await ask(two, "recall"), undefined);
  },

  "the request is known": async () => {
    const socket = await ready({ query: { page: "a b" }, extraHeaders: { "X-Page": "a, 1" } });
    const [query, header, path] = await ask(socket, "environ", "QUERY_STRING", "HTTP_X_PAGE", "PATH_INFO");
    assert.equal(new URLSearchParams(query).get("page"), "a b");
    assert.equal(header, "a, 1");
    assert.equal(path, "/socket.io/");
  },
};

for (const [name, check] of Object.entries(checks)) {
  let fault = null;
  try {
    await limited(check(), "end");
  } catch (error) {
    fault = error.message;
  }
  for (const socket of opened) socket.disconnect();
  opened.clear();
  console.log(JSON.stringify({ name, fault }));
}
process.exit(0);
