/** A line to the service that can be cut, on a port of its own, which stays when the service moves. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** What passes in one direction, up to a limit in bytes. */
class Flow {
  passed = 0;
  limit = Infinity;
  /** passes nothing on, and keeps nothing */
  swallow = false;
  swallowed = 0;

  constructor(from, to, cut) {
    from.on('data', (chunk) => {
      if (this.swallow) {
        this.swallowed += chunk.length;
        return;
      }
      const part = chunk.subarray(0, Math.max(this.limit - this.passed, 0));
      this.passed += part.length;
      const more = to.write(part);
      if (this.passed >= this.limit) cut();
      else if (!more) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('end', () => to.end());
  }
}

/** One connection through the proxy, if it carries a WebSocket: {up, down} are its flows. */
export class Proxy {
  /** the WebSockets that have come so far */
  sockets = [];
  /** for the WebSockets to come, in turn: after how many bytes to cut them, {up} or {down} */
  plan = [];
  #pairs = new Set();

  static async start(endpoint) {
    const proxy = new Proxy();
    proxy.lead(endpoint);
    proxy.server = createServer({ allowHalfOpen: true }, (near) => proxy.#serve(near));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.endpoint = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** Leads connections to come to another endpoint. */
  lead(endpoint) {
    this.target = new URL(endpoint);
  }

  #serve(near) {
    const far = connect({ port: Number(this.target.port), host: this.target.hostname, allowHalfOpen: true });
    const cut = () => {
      near.destroy();
      far.destroy();
    };
    const pair = { cut, up: new Flow(near, far, cut), down: new Flow(far, near, cut) };
    this.#pairs.add(pair);
    near.once('data', (chunk) => {
      if (!/^upgrade: websocket/im.test(chunk.toString('latin1'))) return;
      this.sockets.push(pair);
      const { up, down } = this.plan.shift() ?? {};
      if (up) pair.up.limit = up;
      if (down) pair.down.limit = down;
    });
    for (const socket of [near, far]) {
      socket.on('error', cut).on('close', () => {
        near.destroy();
        far.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  async close() {
    for (const { cut } of this.#pairs) cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
