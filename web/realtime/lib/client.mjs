/** A SignalR client under test. This module runs in Node and in pages, with the packages as each has them. */
import { Log, within } from './conditions.mjs';

/** Remembers what a hub protocol reads and writes, as hex or text; the protocol itself works unchanged. */
function watched(protocol, wire) {
  const note = (list, data) => {
    list.push(typeof data === 'string' ? data : [...new Uint8Array(data)].map((b) => b.toString(16).padStart(2, '0')).join(''));
  };
  return {
    name: protocol.name,
    version: protocol.version,
    transferFormat: protocol.transferFormat,
    parseMessages(input, logger) {
      note(wire.in, input);
      return protocol.parseMessages(input, logger);
    },
    writeMessage(message) {
      const data = wire.replace?.(message) ?? protocol.writeMessage(message);
      note(wire.out, data);
      return data;
    },
  };
}

/** A completion with an integer that JavaScript's numbers do not hold, in either protocol. */
function exactCompletion(name, { invocationId, result }) {
  const digits = result.slice('integer:'.length);
  if (name === 'json') return `{"type":3,"invocationId":"${invocationId}","result":${digits}}\u001e`;
  const id = new TextEncoder().encode(invocationId);
  const body = new Uint8Array([0x95, 3, 0x80, 0xa0 | id.length, ...id, 3, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0]);
  new DataView(body.buffer).setBigUint64(body.length - 8, BigInt(digits));
  return new Uint8Array([body.length, ...body]).buffer;
}

export function clientClass(signalR, msgpack) {
  return class Client {
    /** arguments of each "message" */
    messages = new Log();
    /** {state, error?, id?}: reconnecting, reconnected, closed */
    states = new Log();
    wire = { in: [], out: [] };

    /**
     * url: of the app, or of the service with a token. transport: its name, undefined lets the library choose. answers: what the client answers
     * when asked for results, by target: {value} or {error}. negotiateVersion0: as clients before 3.0 had it.
     */
    constructor({ url, token, transport, protocol = 'json', skipNegotiation, stateful, reconnect, answers = {}, watch, negotiateVersion0 }) {
      const options = { logger: { log() {} }, skipNegotiation };
      if (transport) options.transport = signalR.HttpTransportType[transport];
      if (token) options.accessTokenFactory = () => token;
      if (negotiateVersion0) options.httpClient = this.#withoutVersion();
      const real = protocol === 'messagepack' ? new msgpack.MessagePackHubProtocol() : new signalR.JsonHubProtocol();
      const exact = (m) => m.type === 3 && String(m.result).startsWith('integer:') ? exactCompletion(protocol, m) : undefined;
      if (watch) this.wire.replace = exact;
      const builder = new signalR.HubConnectionBuilder().withUrl(url, options).withHubProtocol(watch ? watched(real, this.wire) : real);
      builder.configureLogging({ log() {} });
      if (stateful) builder.withStatefulReconnect(stateful);
      if (reconnect) builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 50 });
      this.connection = builder.build();
      this.#listen(answers);
    }

    #withoutVersion() {
      const real = new signalR.DefaultHttpClient(signalR.NullLogger.instance);
      return Object.assign(Object.create(signalR.HttpClient.prototype), {
        send: (request) => real.send({ ...request, url: request.url.replace(/[?&]negotiateVersion=1$/, '') }),
        getCookieString: (url) => real.getCookieString(url),
      });
    }

    #listen(answers) {
      this.connection.on('message', (...args) => this.messages.add(args));
      for (const [target, { value, error }] of Object.entries(answers)) {
        this.connection.on(target, (...args) => {
          if (error) throw new Error(error);
          return value === 'arguments' ? args : value;
        });
      }
      const state = (name) => (what) => this.states.add({ state: name, ...(what && { [name === 'reconnected' ? 'id' : 'error']: what.message ?? what }) });
      this.connection.onreconnecting(state('reconnecting'));
      this.connection.onreconnected(state('reconnected'));
      this.connection.onclose(state('closed'));
    }

    async start() {
      await within(() => 'start', this.connection.start());
      return this.connection.connectionId;
    }

    id() {
      return this.connection.connectionId;
    }

    stop() {
      return this.connection.stop();
    }

    /** {result} or {error} of an invocation; {result: null} of one without result is told from null by `none`. */
    async invoke(target, ...args) {
      try {
        const result = await within(() => `no answer of ${target}`, this.connection.invoke(target, ...args));
        return result === undefined ? { none: true } : { result };
      } catch (error) {
        return { error: error.message };
      }
    }

    /** Invokes with a text of `size` characters, which comes back; says whether it did. */
    async echoLarge(target, size) {
      const text = 'bulk-'.repeat(Math.ceil(size / 5)).slice(0, size);
      const { result, error } = await this.invoke(target, text);
      return error ?? (result === text);
    }

    async send(target, ...args) {
      try {
        await within(() => `${target} was not sent`, this.connection.send(target, ...args));
        return undefined;
      } catch (error) {
        return error.message;
      }
    }

    sendLarge(target, size) {
      return this.send(target, 'x'.repeat(size));
    }

    /** Sends `count` numbered messages at once, from `first` on. */
    async burst(target, first, count, padding = '') {
      const all = [];
      for (let i = first; i < first + count; i++) all.push(this.connection.send(target, i, padding));
      await within(() => `${target}: a burst was not sent`, Promise.all(all));
    }

    /** Streams from the server: its error, as the hub has no streams. */
    stream(target) {
      return new Promise((resolve) => {
        this.connection.stream(target).subscribe({ next() {}, complete: () => resolve('complete'), error: (error) => resolve(error.message) });
      });
    }

    /** The first n messages, or more. */
    received(n) {
      return this.messages.wait(`${n} messages`, (all) => (all.length >= n ? [...all] : undefined));
    }

    /** Lengths of the first arguments, for large ones. */
    async receivedLengths(n) {
      return (await this.received(n)).map(([text]) => text.length);
    }

    /** Waits for a state, the nth of its name. */
    state(name, n = 1) {
      return this.states.wait(`state ${name}`, (all) => all.filter((s) => s.state === name)[n - 1]);
    }

    allStates() {
      return this.states.items.map((s) => s.state);
    }

    traffic() {
      return { in: this.wire.in, out: this.wire.out };
    }
  };
}
