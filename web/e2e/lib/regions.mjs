/**
 * Two regions as they are on Azure, and the static site that they share: each is the whole serverless shape (`causeway emulate`:
 * a double of the Functions host with the release binary, and the realtime service in the place of Azure SignalR).
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deployed, freePort } from './functions.mjs';
import { Run } from './server.mjs';

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.json': 'application/json', '.webmanifest': 'application/manifest+json' };
const dist = fileURLToPath(new URL('../../../internal/web/dist/', import.meta.url));

/** What a Static Web App is: files, of which one is the list of regions, and a policy that names them. */
export class StaticSite {
  static async open() {
    const site = new StaticSite();
    site.server = createServer((request, response) => site.#serve(request, response));
    await new Promise((resolve) => site.server.listen(0, '127.0.0.1', resolve));
    site.origin = `http://localhost:${site.server.address().port}`;
    return site;
  }

  /** `connect`: origins that pages may connect to. */
  set(regions, connect) {
    this.list = JSON.stringify({ regions });
    const sources = connect.flatMap((origin) => [origin, origin.replace('http', 'ws')]).join(' ');
    this.policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self' ${sources}; worker-src 'self'; frame-src 'self'; manifest-src 'self'`;
  }

  #serve(request, response) {
    const path = new URL(request.url, 'http://site').pathname;
    const name = path === '/' ? 'index.html' : path.slice(1);
    response.setHeader('Content-Security-Policy', this.policy);
    if (name === 'regions.json') return response.setHeader('Content-Type', 'application/json').end(this.list);
    try {
      const body = readFileSync(join(dist, name));
      response.setHeader('Content-Type', types[extname(name)] ?? 'application/octet-stream').end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export class Region extends Run {
  /** Starts all of `plans` as one another's regions, with one key. */
  static async startAll(dir, names, site, settings = []) {
    const key = join(dir, 'signing.key');
    writeFileSync(key, randomBytes(32).toString('base64'), { mode: 0o600 });
    const app = deployed();
    const plans = [];
    for (const name of names) plans.push({ name, api: await freePort('127.0.0.1'), realtime: await freePort('localhost') });
    const list = plans.map(({ name, api }) => ({ name, url: `http://127.0.0.1:${api}` }));
    site.set(list, plans.flatMap(({ api, realtime }) => [`http://127.0.0.1:${api}`, `http://localhost:${realtime}`]));
    const common = [`CAUSEWAY_SIGNING_KEY=file:${key}`, 'CAUSEWAY_PROXY_HOPS=1', `CAUSEWAY_PUBLIC_URL=${site.origin}`, `CAUSEWAY_REGIONS=${list.map(({ name, url }) => `${name}=${url}`)}`, ...settings];
    return Promise.all(plans.map((plan) => Region.#start(join(dir, plan.name), app, plan, common)));
  }

  static async #start(dataDir, app, { name, api, realtime }, settings) {
    const all = [...settings, `CAUSEWAY_REGION=${name}`].flatMap((setting) => ['--setting', setting]);
    const region = new Region(['emulate', '--app', app, '--listen', 'localhost:0', '--host-listen', `127.0.0.1:${api}`, '--realtime-listen', `localhost:${realtime}`, '--data-dir', dataDir, '--log-level', 'debug', ...all], { group: true });
    Object.assign(region, { name, hosts: [`127.0.0.1:${api}`, `localhost:${realtime}`] });
    await region.output('addresses', () => /^Ctrl-C/m.test(region.stdout));
    return region;
  }

  /** All of its processes at once, without a word: the host, the handler, the realtime service. */
  async die() {
    await super.stop('SIGKILL');
  }

  async stop(signal, ms) {
    return this.exit ?? super.stop(signal, ms);
  }

  toString() {
    return `region ${this.name}`;
  }
}
