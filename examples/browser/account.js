// Who is talking: a guest, or somebody who logged in.
//
// The tokens are in localStorage, so that a reload and other tabs find them. Whatever script runs on
// this page's origin can read them there, and a refresh token opens the account for a week. So: no
// scripts of others, a strict policy (index.html), no text ever put in as HTML (page.js). If your
// page has a backend of its own, let that keep the refresh token in an HttpOnly cookie instead.

const EARLY_MS = 30_000; // an access token with less than this left is renewed before its use

export class Account {
  constructor(server) {
    this.server = server;
    this.key = `talksy ${server}`; // what one server gave is shown to no other
  }

  /** {sessionId?, guestToken?} or {sessionId?, email, accessToken, refreshToken, endsAt}. */
  get kept() {
    return JSON.parse(localStorage.getItem(this.key) ?? "{}");
  }

  keep(more) {
    localStorage.setItem(this.key, JSON.stringify({ ...this.kept, ...more }));
  }

  forget() {
    localStorage.removeItem(this.key);
  }

  /** The token for the handshake; undefined for a guest who comes for the first time. */
  async token() {
    const { accessToken, endsAt, guestToken } = this.kept;
    if (!accessToken) return guestToken;
    return Date.now() < endsAt - EARLY_MS ? accessToken : this.renew();
  }

  /** A fresh access token; undefined for a guest, and for who was logged out meanwhile. */
  async renew() {
    const { refreshToken } = this.kept;
    if (!refreshToken) return undefined;
    try {
      // Tabs may do this at the same moment: for ten seconds they are all given the same successor.
      const grant = await this.#post("refresh", { refreshToken });
      this.#keepGrant(grant);
      return grant.accessToken;
    } catch (error) {
      if (error.status !== 401) throw error;
      this.forget();
      return undefined;
    }
  }

  /** The server did not take our token: whether there is another way in. */
  async recover() {
    const { refreshToken, guestToken } = this.kept;
    if (refreshToken) await this.renew();
    else this.forget();
    return Boolean(refreshToken || guestToken);
  }

  /** `verb` is "login" or "register". Throws what the server says against it. */
  async enter(verb, email, password) {
    const grant = await this.#post(verb, { email, password });
    this.forget();
    this.#keepGrant(grant);
    this.keep({ email: grant.user.email });
  }

  async leave() {
    const { refreshToken } = this.kept;
    this.forget();
    await this.#post("logout", { refreshToken });
  }

  #keepGrant({ accessToken, refreshToken, expiresIn }) {
    this.keep({ accessToken, refreshToken, endsAt: Date.now() + expiresIn * 1000 });
  }

  async #post(verb, body) {
    const reply = await fetch(`${this.server}/auth/${verb}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (reply.status === 204) return undefined;
    const answer = await reply.json();
    if (!reply.ok) throw Object.assign(new Error(answer.message), { status: reply.status });
    return answer;
  }
}
