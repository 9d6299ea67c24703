/** A line to the server that can be cut: a TCP proxy on a port of its own. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { Transform } from 'node:stream';
import { realtimeOf, setRealtimeOf } from './functions.mjs';

/** Puts one name in the place of another as long, also where it is cut by the ends of chunks. */
export function renamed(from, to) {
  if (from.length !== to.length) throw new Error(`${to} is not as long as ${from}`);
  let rest = '';
  return new Transform({
    transform(chunk, _, done) {
      const text = (rest + chunk.toString('latin1')).replaceAll(from, to);
      const keep = Math.min(text.length, from.length - 1);
      // Only what may be the begin of the name waits.
      let cut = text.length;
      for (let n = keep; n > 0; n--) if (from.startsWith(text.slice(-n))) { cut = text.length - n; break; }
      rest = text.slice(cut);
      done(null, Buffer.from(text.slice(0, cut), 'latin1'));
    },
    flush(done) {
      done(null, Buffer.from(rest, 'latin1'));
    },
  });
}

export class Proxy {
  #pairs = new Set();
  #cut = false;
  #second;
  #rename;

  /** @param {string} origin what it leads to; where pages of it connect to elsewhere, that line leads through here, too */
  static async start(origin) {
    const proxy = new Proxy();
    const { hostname, port } = new URL(origin);
    const realtime = realtimeOf(origin);
    if (realtime) {
      proxy.#second = await Proxy.start(realtime);
      proxy.#rename = [new URL(realtime).host, new URL(proxy.#second.origin).host];
    }
    proxy.server = createServer((near) => proxy.#serve(near, () => connect(Number(port), hostname)));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.origin = `http://localhost:${proxy.server.address().port}`;
    if (realtime) setRealtimeOf(proxy.origin, proxy.#second.origin);
    return proxy;
  }

  #serve(near, dial) {
    if (this.#cut) return near.destroy();
    const far = dial();
    const pair = { near, far };
    this.#pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.pipe(far);
    (this.#rename ? far.pipe(renamed(...this.#rename)) : far).pipe(near);
    return undefined;
  }

  /** Ends all connections and takes no others. */
  cut() {
    this.#cut = true;
    this.#second?.cut();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  mend() {
    this.#cut = false;
    this.#second?.mend();
  }

  async close() {
    this.cut();
    await this.#second?.close();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** A link to the server, leading through here. */
  through(link) {
    const url = new URL(link);
    return `${this.origin}${url.pathname}${url.search}${url.hash}`;
  }
}
