// The page: what is typed goes to the chat, what the chat tells is shown.

import { Account } from "./account.js";
import { Chat } from "./chat.js";

const at = (id) => document.getElementById(id);
const [words, state, notice, form, text, stop, who, door] = [
  "words", "state", "notice", "say", "text", "stop", "who", "door",
].map(at);

const STATES = {
  here: "Connected as",
  away: "Reconnecting…",
  out: "Log in to talk",
  refused: "Not connected",
};
const ENDINGS = { cancelled: "Stopped.", interrupted: "Cut short.", failed: "Failed." };
const WORDS = [["approve", "Approve"], ["deny", "Deny"]];

// ---- bubbles: one for each message, and one for each answer

const bubbles = new Map(); // by the id of the message, or of the turn that answers it

function bubble(id, role, content = "") {
  if (!bubbles.has(id)) {
    const item = document.createElement("li");
    item.dataset.role = role;
    // `append` takes text as text: nothing that is said here can become a tag.
    item.append(part("span", "unseen", role === "user" ? "You:" : "Talksy:"));
    item.append(part("p", "text", content), part("p", "note"));
    bubbles.set(id, item);
    show(() => words.append(item));
  }
  return bubbles.get(id);
}

function part(tag, name, content = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.append(content);
  return element;
}

/** An answer is known by its turn: that is what it is called while it comes. */
const key = ({ id, role, turnId }) => (role === "user" ? id : (turnId ?? id));

const said = (item) => item.querySelector(".text");
const noted = (item) => item.querySelector(".note");

function note(item, content = "", retry = undefined) {
  const again = part("button", "again", "Try again");
  again.onclick = () => {
    note(item);
    retry();
  };
  show(() => noted(item).replaceChildren(content, ...(retry ? [" ", again] : [])));
}

/** Changes the conversation, and follows it down unless the reader has scrolled up. */
function show(change) {
  const log = words.parentElement;
  const below = log.scrollHeight - log.scrollTop - log.clientHeight;
  change();
  if (below < 40) log.scrollTop = log.scrollHeight;
}

function answerTo(turn) {
  return bubble(turn.turnId, "assistant");
}

// ---- what the chat tells

const page = {
  state(name, message = STATES[name]) {
    const { email } = account.kept;
    state.dataset.state = name;
    state.textContent = name === "here" ? `${message} ${email ?? "a guest"}` : message;
    who.textContent = email ? "Log out" : "Log in";
    if (name === "here") page.notice("");
    if (name === "out" && !door.open) door.showModal();
  },

  notice(message) {
    show(() => (notice.textContent = message));
  },

  /** The conversation as the server keeps it, and in it what is under way on this page. */
  history(messages, turns, unsent) {
    const reading = new Map(turns.map((turn) => [turn.turnId, turn.messageId]));
    const order = messages
      .filter((message) => !reading.has(key(message))) // such an answer goes on where it is
      .map((message) => page.message(message));
    // Then what did not get there, or was not taken; some of it may have arrived all the same.
    const lost = new Set(unsent.map(({ messageId }) => bubbles.get(messageId)));
    for (const item of bubbles.values())
      if (lost.has(item) || item.matches("[data-role=user]:has(.again)"))
        if (!order.includes(item)) order.push(item);
    for (const [turnId, messageId] of reading) {
      const question = order.indexOf(bubbles.get(messageId));
      order.splice(question < 0 ? order.length : question + 1, 0, bubbles.get(turnId));
    }
    // What stands in its place stays there, so that nothing is read out twice.
    order.forEach((item, place) => {
      if (words.children[place] !== item) words.insertBefore(item, words.children[place] ?? null);
    });
    while (words.children.length > order.length) words.lastChild.remove();
    for (const [id, item] of bubbles) if (!item.isConnected) bubbles.delete(id);
    stop.hidden = !turns.length;
  },

  /** A message as the server keeps it: of an earlier visit, or said on another device. */
  message(message) {
    const item = bubble(key(message), message.role);
    said(item).textContent = message.content;
    item.removeAttribute("aria-busy");
    if (message.interrupted && !noted(item).textContent) note(item, ENDINGS.interrupted);
    return item;
  },

  refused(messageId, error) {
    const item = bubble(messageId, "user");
    note(item, `Not sent: ${error.message}`, () => chat.say(said(item).textContent, messageId));
  },

  began(turn) {
    const item = answerTo(turn);
    said(item).textContent = "";
    item.querySelectorAll(".tool").forEach((line) => line.remove());
    item.setAttribute("aria-busy", "true"); // a screen reader waits for the whole answer
    // It belongs below its question, also where more questions wait by now.
    show(() => bubbles.get(turn.messageId)?.after(item));
    stop.hidden = false;
  },

  piece(turn, content) {
    show(() => said(answerTo(turn)).append(content));
  },

  /** What came so far is void: the answer begins again, from another model. */
  reset(turn) {
    said(answerTo(turn)).textContent = "";
    note(answerTo(turn), "The answer began anew.");
  },

  /** The model asks for a tool, and maybe for a person's word first. */
  called(turn, { callId, toolName, parameters, needsApproval }) {
    const line = part("p", "tool", `${toolName} ${JSON.stringify(parameters)} `);
    line.dataset.call = callId;
    for (const [decision, name] of needsApproval ? WORDS : []) {
      const button = part("button", decision, name);
      button.onclick = () => chat.decide(callId, decision);
      line.append(button);
    }
    show(() => said(answerTo(turn)).before(line));
  },

  /** Nobody is asked any more. */
  decided({ callId }) {
    const buttons = words.querySelectorAll(`[data-call="${CSS.escape(callId)}"] button`);
    show(() => buttons.forEach((button) => button.remove()));
  },

  settled(turn, { callId, success, error }) {
    page.decided({ callId });
    const line = answerTo(turn).querySelector(`[data-call="${CSS.escape(callId)}"]`);
    show(() => line?.append(success ? "✓" : `✗ ${error.message}`));
  },

  ended(turn, { reason, text: whole, error, degraded, provider }, more) {
    const item = answerTo(turn);
    item.removeAttribute("aria-busy");
    stop.hidden = !more;
    if (whole !== undefined) show(() => (said(item).textContent = whole));
    if (degraded) note(item, `Answered by ${provider}, which stands in.`);
    if (reason === "completed") return;
    const question = bubbles.get(turn.messageId);
    const again = () => {
      item.remove();
      bubbles.delete(turn.turnId);
      words.append(question); // it is asked anew, after all that was said since
      chat.say(said(question).textContent, turn.messageId, true);
    };
    note(item, error?.message ?? ENDINGS[reason], question && again);
  },

  limit({ scope, remaining, limit, retryAfter }) {
    const wait = retryAfter ? ` Wait ${retryAfter} s.` : "";
    page.notice(`${remaining} of ${limit} ${scope ?? "messages"} left for now.${wait}`);
  },
};

// ---- what the person does

form.onsubmit = (event) => {
  event.preventDefault();
  const line = text.value.trim();
  if (!line) return;
  text.value = "";
  page.notice("");
  show(() => bubble(chat.say(line), "user", line));
  words.parentElement.scrollTop = words.parentElement.scrollHeight;
};

text.onkeydown = (event) => {
  // Enter sends, Shift+Enter makes a line; who composes a character with Enter means neither.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
};

stop.onclick = () => chat.stop();

at("anew").onclick = () => {
  account.keep({ sessionId: undefined });
  location.reload();
};

who.onclick = async () => {
  if (!account.kept.email) return door.showModal();
  // Here it is forgotten at once, whether or not the server hears of it.
  await account.leave().catch(() => {});
  location.reload();
};

door.querySelector("form").onsubmit = async (event) => {
  event.preventDefault();
  const verb = event.submitter.value;
  if (verb === "cancel") return door.close();
  const { email, password } = Object.fromEntries(new FormData(event.target));
  try {
    await account.enter(verb, email, password);
    location.reload();
  } catch (error) {
    door.querySelector("[role=alert]").textContent = error.message;
  }
};

// Another tab logged in or out: this one is somebody else now.
addEventListener("storage", ({ key, oldValue, newValue }) => {
  const emails = [oldValue, newValue].map((value) => JSON.parse(value ?? "{}").email);
  if (key === account.key && emails[0] !== emails[1]) location.reload();
});

const account = new Account(document.querySelector("meta[name=talksy-server]").content);
const chat = new Chat(account, page);
