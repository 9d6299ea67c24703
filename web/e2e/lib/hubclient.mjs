/** A peer without a browser: the API by fetch, signaling by the SignalR client that the pages use, too. */
import { HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { deferred, within } from './conditions.mjs';

/** POSTs JSON (or a raw string): {status, headers, json}. */
export async function post(origin, path, body = {}, grant) {
  const headers = { 'Content-Type': 'application/json', ...(grant && { Authorization: `Bearer ${grant}` }) };
  const response = await fetch(origin + path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${path}: ${response.status}, not JSON: ${text}`);
  }
  return { status: response.status, headers: response.headers, json };
}

export class HubClient {
  /** {name, event} in the order of arrival */
  events = [];
  /** what the client library logged */
  log = [];
  #waiting = new Set();

  constructor(origin, membership) {
    Object.assign(this, membership);
    this.hub = new HubConnectionBuilder()
      .withUrl(`${origin}/api`, { accessTokenFactory: () => membership.grant })
      // A long delay: tests look at whether it means to come back, and end before it does.
      .withAutomaticReconnect([600_000])
      .configureLogging({ log: (level, message) => level > LogLevel.Trace && this.#note(this.log, message) })
      .build();
    for (const name of ['hello', 'signal', 'left', 'relay']) this.hub.on(name, (event) => this.#note(this.events, { name, event }));
    this.reconnecting = new Promise((resolve) => this.hub.onreconnecting(resolve));
    this.closed = new Promise((resolve) => this.hub.onclose(resolve));
  }

  /** The host of a new session, not yet connected. */
  static async host(origin) {
    const { json } = await post(origin, '/api/sessions');
    return new HubClient(origin, json);
  }

  static async guest(origin, invite) {
    const { json } = await post(origin, '/api/sessions/join', { invite });
    return new HubClient(origin, json);
  }

  #note(list, entry) {
    list.push(entry);
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves with the first of `list` that `match` accepts, now or later. */
  async #first(list, what, match) {
    const { promise, resolve } = deferred();
    const look = () => {
      const found = list.find(match);
      if (found !== undefined) resolve(found);
    };
    this.#waiting.add(look);
    look();
    try {
      return await within(60_000, () => `no ${what} in ${JSON.stringify(list)}`, promise);
    } finally {
      this.#waiting.delete(look);
    }
  }

  async event(name, match = () => true) {
    return (await this.#first(this.events, `event "${name}"`, (e) => e.name === name && match(e.event))).event;
  }

  async logged(pattern) {
    return this.#first(this.log, `log ${pattern}`, (line) => pattern.test(line));
  }

  /** The error text of an invocation that must fail, as the server wrote it. */
  async refusal(method, ...args) {
    try {
      await within(60_000, () => `${method} was not answered`, this.hub.invoke(method, ...args));
    } catch (error) {
      return error.message;
    }
    throw new Error(`${method} was not refused`);
  }

  stop() {
    return this.hub.stop();
  }
}
