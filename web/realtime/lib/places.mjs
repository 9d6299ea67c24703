/** Where clients run: here in Node, and in pages in Chromium. Both have the same methods, all of them asynchronous. */
import * as signalR from '@microsoft/signalr';
import * as msgpack from '@microsoft/signalr-protocol-msgpack';
import { chromium as playwright } from 'playwright-core';
import { args, executablePath } from '../../e2e/lib/chromium.mjs';
import { clientClass } from './client.mjs';

const NodeClient = clientClass(signalR, msgpack);

/** Makes clients, and stops those that a test leaves behind. */
class Place {
  #made = [];

  constructor(name, make, close) {
    Object.assign(this, { name, make, close });
  }

  async client(options) {
    const client = await this.make(options);
    this.#made.push(client);
    return client;
  }

  /** A client that has started; `id` is its connection's. */
  async started(options) {
    const client = await this.client(options);
    client.connectionId = await client.start();
    return client;
  }

  /** Stops all clients. */
  async clear() {
    await Promise.all(this.#made.splice(0).map((client) => client.stop()));
  }
}

export function inNode() {
  return new Place('Node', async (options) => new NodeClient(options), async () => {});
}

/** A client in a page, by way of the browser's debugging protocol. */
function remote(handle) {
  return new Proxy({}, {
    get(own, method) {
      if (method in own) return own[method];
      if (method === 'then' || typeof method !== 'string') return undefined; // it is no promise
      return (...args) => handle.evaluate((client, [name, values]) => client[name](...values), [method, args]);
    },
  });
}

/** A page of the app's origin, which is not the service's. */
export async function inChromium(origin) {
  const browser = await playwright.launch({ executablePath, args });
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForFunction('window.Client');
  return new Place('Chromium', async (options) => remote(await page.evaluateHandle((o) => new window.Client(o), options)), () => browser.close());
}
