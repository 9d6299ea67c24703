/** A scene is one test's server, browsers, pages and files; it ends with everything gone. */
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { launch } from './browsers.mjs';
import { makeFile } from './files.mjs';
import { realtimeOf } from './functions.mjs';
import { HubClient } from './hubclient.mjs';
import { Peer } from './peer.mjs';
import { Server } from './server.mjs';

/** One Chromium for all tests of a file that don't need their own: {browser, dir} once it is wanted. */
let shared;

export async function closeShared() {
  if (!shared) return;
  const { browser, dir } = await shared;
  shared = undefined;
  await browser.close();
  await rm(dir, { recursive: true, force: true });
}

async function sharedChromium() {
  shared ??= (async () => {
    const dir = await mkdtemp(join(tmpdir(), 'causeway-e2e-'));
    return { dir, browser: await launch('chromium', dir) };
  })();
  return (await shared).browser;
}

export class Scene {
  servers = [];
  peers = [];
  /** hosts of further servers that pages may talk to */
  origins = [];
  #closers = [];
  #allowed = [];
  #private = new Set();
  #dirs = 0;

  /** `info` takes lines for whoever reads the results; nothing depends on them. */
  constructor(dir, info = console.log) {
    Object.assign(this, { dir, info });
  }

  /** A scene in a directory of its own, which goes with it. */
  static async open(info) {
    return new Scene(await mkdtemp(join(tmpdir(), 'causeway-e2e-')), info);
  }

  async directory() {
    const dir = join(this.dir, `d${++this.#dirs}`);
    await mkdir(dir);
    return dir;
  }

  async file(name, size) {
    this.#private.add(name);
    return makeFile(await this.directory(), name, size);
  }

  /** Starts a server with a data directory of its own, unless options say otherwise. */
  async serve(options = {}) {
    const server = await Server.start({ dataDir: join(await this.directory(), 'data'), ...options });
    this.servers.push(server);
    return server;
  }

  /** A page in a context of its own, in the Chromium that the file's tests share. */
  async page(name, options) {
    const browser = await sharedChromium();
    const context = await browser.newContext(options);
    this.onClose(() => context.close());
    return this.#add(await Peer.open(name, 'chromium', context));
  }

  /**
   * A sender with its link, and a receiver that has opened it: [sender, receiver]. `scripts` run in the receiver's page
   * before its own; `query` is both sides'.
   */
  async pair(server, files, { scripts = [], query = '' } = {}) {
    const sender = await this.page('sender');
    await sender.offer(server.origin, files.map((file) => file.path), query);
    return [sender, await this.guest(sender.link, { scripts, query })];
  }

  /** A receiver that has opened the link. */
  async guest(link, { name = 'receiver', scripts = [], query = '' } = {}) {
    const receiver = await this.page(name);
    for (const script of scripts) await receiver.page.addInitScript(script);
    await receiver.visit(link, query);
    return receiver;
  }

  /** A page in a browser of its own. */
  async own(name, kind, options) {
    const browser = await launch(kind, this.dir, options);
    this.onClose(() => browser.close());
    const context = browser.context ?? (await browser.newContext());
    const peer = this.#add(await Peer.open(name, kind, context));
    peer.browser = browser;
    return peer;
  }

  /** Peers without a browser. */
  async hubHost(server) {
    return this.#connected(await HubClient.host(server.origin));
  }

  async hubGuest(server, invite) {
    return this.#connected(await HubClient.guest(server.origin, invite));
  }

  async #connected(client) {
    this.onClose(() => client.stop());
    await client.hub.start();
    return client;
  }

  #add(peer) {
    this.peers.push(peer);
    return peer;
  }

  onClose(closer) {
    this.#closers.push(closer);
  }

  /** Errors on consoles that belong to this test, such as the browser's own on an answer 404. */
  allow(...patterns) {
    this.#allowed.push(...patterns);
  }

  /** What holds in every test: pages are clean, and logs tell nothing about anybody. */
  check() {
    for (const peer of this.peers) {
      const bad = peer.problems().filter((line) => !this.#allowed.some((pattern) => pattern.test(line)));
      assert.deepEqual(bad, [], `${peer.name}: errors on the console`);
      if (peer.link) for (const part of new URL(peer.link).hash.slice(1).split('.')) this.#private.add(part);
      for (const { json } of peer.answers) for (const key of ['grant', 'session', 'peer', 'accessToken']) if (json[key]) this.#private.add(json[key]);
    }
    for (const server of this.servers) this.#checkLog(server);
    this.#checkOrigins();
  }

  /** Pages talk to the server that they came from, to its realtime service if that is elsewhere, and to nobody else. */
  #checkOrigins() {
    for (const { name, requests, page } of this.peers) {
      const { host, origin } = new URL(page.url());
      const own = [host, ...this.origins, ...(realtimeOf(origin) ? [new URL(realtimeOf(origin)).host] : [])];
      const others = requests.map(({ url }) => url).filter((url) => !/^(blob|data):/.test(url) && !own.includes(new URL(url).host));
      assert.deepEqual(others, [], `${name}: requests to others`);
    }
  }

  #checkLog(server) {
    for (const secret of this.#private) assert.ok(!server.stderr.includes(secret), `the log of ${server} has ${JSON.stringify(secret)}:\n${server.stderr}`);
    const sdp = /a=(candidate|fingerprint|ice-)/.exec(server.stderr);
    assert.equal(sdp, null, `the log of ${server} has parts of session descriptions`);
  }

  async evidence() {
    const pages = await Promise.all(this.peers.map((peer) => peer.evidence()));
    const servers = this.servers.map((server) => `── ${server}\n${server.stdout}${server.stderr.split('\n').slice(-60).join('\n')}`);
    return ['', ...pages, ...servers, ''].join('\n');
  }

  /** Ends the pages and browsers; servers and files stay. */
  async closePages() {
    const closers = this.#closers.splice(0).reverse();
    this.peers = [];
    for (const closer of closers) await closer();
  }

  /** Ends everything, the pages before the servers, whatever fails on the way; the first failure is reported. */
  async close() {
    const failures = [];
    const run = async (work) => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    for (const closer of this.#closers.reverse()) await run(closer);
    for (const server of this.servers) await run(() => server.stop());
    await run(() => rm(this.dir, { recursive: true, force: true, maxRetries: 5 }));
    if (failures.length > 0) throw failures[0];
  }
}
