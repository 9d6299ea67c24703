/**
 * An application of somebody else's, in one HTTP server: it sends clients to the service, takes the webhooks of its
 * events, and calls its data plane. It encodes and decodes with the hub protocols of Microsoft's own packages.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { JsonHubProtocol, NullLogger } from '@microsoft/signalr';
import { MessagePackHubProtocol } from '@microsoft/signalr-protocol-msgpack';
import { Log } from './conditions.mjs';
import { clientToken, restToken, signatures } from './tokens.mjs';

const modules = createRequire(import.meta.url);
const quiet = NullLogger.instance;

/** What a page needs: the packages as they come, and the client of these tests. */
const files = {
  '/signalr.js': modules.resolve('@microsoft/signalr').replace(/dist.*/, 'dist/browser/signalr.js'),
  '/msgpack.js': modules.resolve('@microsoft/signalr-protocol-msgpack').replace(/dist.*/, 'dist/browser/signalr-protocol-msgpack.js'),
  '/client.mjs': new URL('client.mjs', import.meta.url),
  '/conditions.mjs': new URL('conditions.mjs', import.meta.url),
};

const page = `<!doctype html><title>client</title><script src="/signalr.js"></script><script src="/msgpack.js"></script>
<script type="module">
  import { clientClass } from '/client.mjs';
  window.Client = clientClass(signalR, signalR.protocols.msgpack);
</script>`;

const json = new JsonHubProtocol();
const msgpack = new MessagePackHubProtocol();

/** How the body of an invocation is encoded, by its content type. */
const codecs = {
  'application/json': {
    decode: (body) => json.parseMessages(`${body.toString()}\u001e`, quiet)[0],
    encode: (message) => json.writeMessage(message),
  },
  'application/x-msgpack': {
    decode(body) {
      const length = [];
      for (let n = body.length; ; n >>>= 7) {
        length.push(n > 127 ? (n & 127) | 128 : n);
        if (n <= 127) break;
      }
      return msgpack.parseMessages(new Uint8Array([...length, ...body]).buffer, quiet)[0];
    },
    encode: (message) => Buffer.from(msgpack.writeMessage(message)),
  },
};

/** What a method answers when it wants an answer that is no result: thrown by it. */
export class Answer extends Error {
  constructor(status, body = '') {
    super(`answer ${status}`);
    Object.assign(this, { status, body });
  }
}

/** An error that the client is told. */
export class HubError extends Error {}

export class App {
  /** every event from upstream, in the order of arrival */
  events = new Log();
  /** what must not have happened: wrong signatures, failed requests of our own */
  problems = [];
  /** by target: (event) => result, undefined being none; an Answer or HubError may be thrown */
  methods = {};
  /** called before an event is answered */
  gate = async () => {};

  static async start() {
    const app = new App();
    app.server = createServer((request, response) => {
      app.#serve(request, response).catch((error) => {
        app.problems.push(error.stack);
        response.destroy();
      });
    });
    app.server.keepAliveTimeout = 0; // else Node closes a connection just when the service uses it again
    app.server.listen(0, '127.0.0.1');
    await once(app.server, 'listening');
    app.origin = `http://127.0.0.1:${app.server.address().port}`;
    return app;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** The configuration of a service that sends its events here. */
  upstreams(path = '/upstream') {
    return [{ url: `${this.origin}${path}/{hub}/{category}/{event}`, hub: 'chat', category: '*', event: '*' }];
  }

  /** Tells the app which service it uses. `through` is where clients find it, if that is elsewhere. */
  use({ endpoint, key }, { keys = [key], through = endpoint } = {}) {
    Object.assign(this, { endpoint, key, keys, through });
  }

  /** Where clients of a hub begin, as whom. */
  url({ hub = 'chat', user, ...query } = {}) {
    return `${this.origin}/app?${new URLSearchParams({ hub, ...(user && { user }), ...query })}`;
  }

  clientUrl(hub = 'chat') {
    return `${this.through}/client/?hub=${hub}`;
  }

  async #serve(request, response) {
    const url = new URL(request.url, this.origin);
    const body = Buffer.concat(await request.toArray());
    if (request.method === 'GET') return this.#file(url.pathname, response);
    if (url.pathname === '/app/negotiate') return this.#negotiate(url, response);
    return this.#upstream(request, url, body, response);
  }

  async #file(path, response) {
    if (path === '/') return response.setHeader('Content-Type', 'text/html').end(page);
    if (!files[path]) return response.writeHead(404).end();
    return response.setHeader('Content-Type', 'text/javascript').end(await readFile(files[path]));
  }

  #negotiate(url, response) {
    const { hub, user, ...claims } = Object.fromEntries(url.searchParams);
    for (const name of ['negotiateVersion', 'useStatefulReconnect']) delete claims[name];
    const answer = { url: this.clientUrl(hub), accessToken: clientToken(this, hub, { user, claims }), availableTransports: [] };
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
  }

  async #upstream({ headers }, url, body, response) {
    const connectionId = headers['x-asrs-connection-id'];
    if (headers['x-asrs-signature'] !== signatures(this.keys, connectionId)) {
      this.problems.push(`signature ${headers['x-asrs-signature']} for ${connectionId}`);
      return response.writeHead(401).end();
    }
    const kind = headers['content-type'];
    const event = {
      connectionId, path: url.pathname, hub: headers['x-asrs-hub'], category: headers['x-asrs-category'], event: headers['x-asrs-event'],
      user: headers['x-asrs-user-id'], claims: headers['x-asrs-user-claims'], query: headers['x-asrs-client-query'], kind,
    };
    const message = event.category === 'messages' ? codecs[kind].decode(body) : undefined;
    if (message) event.arguments = message.arguments;
    else event.body = JSON.parse(body);
    this.events.add(event);
    await this.gate(event);
    return this.#answer(event, message, response);
  }

  async #answer(event, message, response) {
    const finish = (status, text = '') => response.writeHead(status, { 'Content-Length': Buffer.byteLength(text) }).end(text);
    const complete = (fields) => finish(200, codecs[event.kind].encode({ type: 3, invocationId: message.invocationId, ...fields }));
    try {
      const result = await this.methods[message ? event.event : `:${event.event}`]?.(event);
      if (result === undefined) return finish(message ? 204 : 200);
      return complete({ result });
    } catch (error) {
      if (error instanceof Answer) return finish(error.status, error.body);
      if (error instanceof HubError) return complete({ error: error.message });
      throw error;
    }
  }

  /** The first event of a connection with this name, now or later. */
  event(name, connectionId, match = () => true) {
    return this.events.wait(`event ${name}`, (all) => all.find((e) => e.event === name && e.connectionId === connectionId && match(e)));
  }

  /** The first n arguments lists that a connection has sent to a target. */
  invocations(target, connectionId, n) {
    return this.events.wait(`${n} × ${target}`, (all) => {
      const found = all.filter((e) => e.event === target && e.connectionId === connectionId);
      return found.length >= n ? found.map((e) => e.arguments) : undefined;
    });
  }

  /** Calls the data plane: {status, text, json, headers}. `path` follows /api/. */
  async rest(method, path, body, { token } = {}) {
    const headers = { Authorization: `Bearer ${token ?? restToken(this, `/api/${path}`)}`, ...(body && { 'Content-Type': 'application/json' }) };
    const response = await fetch(`${this.endpoint}/api/${path}`, { method, headers, body: typeof body === 'object' ? JSON.stringify(body) : body });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: text && /json/.test(response.headers.get('Content-Type')) ? JSON.parse(text) : undefined };
  }

  /** The same for what must succeed. `path` is below the hub. */
  async call(method, path, body) {
    const answer = await this.rest(method, `v1/hubs/chat/${path}`, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  /** Sends "message" with arguments to a recipient: "", "users/u", "groups/g", "connections/c", with a query if need be. */
  send(to, ...args) {
    const [path, query] = to.split('?');
    return this.call('POST', `${path}${path && '/'}:send${query ? `?${query}` : ''}`, { target: 'message', arguments: args });
  }
}
