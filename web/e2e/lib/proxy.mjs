/** A line to the server that can be cut: a TCP proxy on a port of its own. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Proxy {
  #pairs = new Set();
  #cut = false;

  /** @param {string} origin what it leads to */
  static async start(origin) {
    const proxy = new Proxy();
    const { hostname, port } = new URL(origin);
    proxy.server = createServer((near) => proxy.#serve(near, () => connect(Number(port), hostname)));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.origin = `http://localhost:${proxy.server.address().port}`;
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
    far.pipe(near);
    return undefined;
  }

  /** Ends all connections and takes no others. */
  cut() {
    this.#cut = true;
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  mend() {
    this.#cut = false;
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** A link to the server, leading through here. */
  through(link) {
    const url = new URL(link);
    return `${this.origin}${url.pathname}${url.search}${url.hash}`;
  }
}
