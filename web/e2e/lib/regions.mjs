/**
 * Regions as they are on Azure, and the static site that they share: each is the whole serverless shape (`causeway emulate`:
 * a double of the Functions host with the release binary, and the realtime service in the place of Azure SignalR). What Azure would be
 * told about pages and regions is what they are told (deploy/terraform/testdata), and the site's rules are those that are deployed
 * (deploy/site); host names alone are others.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rules } from '../../../deploy/site/render.mjs';
import { deployed, freePort } from './functions.mjs';
import { Run } from './server.mjs';

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.json': 'application/json', '.webmanifest': 'application/manifest+json' };
const root = fileURLToPath(new URL('../../../', import.meta.url));
const dist = join(root, 'internal/web/dist');
const siteRules = JSON.parse(readFileSync(join(root, 'deploy/site/staticwebapp.config.json'), 'utf8'));

/** An example's function apps, with those of their settings that say where pages and regions are, as Azure would receive them. */
function functionApps(example) {
  const bodies = readFileSync(join(root, `deploy/terraform/testdata/bodies/${example}.txt`), 'utf8');
  return [...bodies.matchAll(/^PUT \S+\/sites\/(func-[a-z0-9]+)\n(\{\n[\s\S]*?\n\})$/gm)].map(([, app, body]) => ({
    app,
    settings: JSON.parse(body).properties.siteConfig.appSettings.filter(({ name }) => /^CAUSEWAY_(PUBLIC_URL|API_ORIGIN|REGIONS?)$/.test(name)),
  }));
}

/** What a Static Web App is: files, of which one is the list of regions, and a policy that names them. */
export class StaticSite {
  static async open() {
    const site = new StaticSite();
    site.server = createServer((request, response) => site.#serve(request, response));
    await new Promise((resolve) => site.server.listen(0, '127.0.0.1', resolve));
    site.origin = `http://localhost:${site.server.address().port}`;
    return site;
  }

  /** `regions` are as the infrastructure's output has them: {name, api, signalr}. */
  set(regions) {
    this.list = JSON.stringify({ regions: regions.map(({ name, api }) => ({ name, url: api })) });
    this.headers = rules(siteRules, regions).globalHeaders;
  }

  #serve(request, response) {
    const path = new URL(request.url, 'http://site').pathname;
    const name = path === '/' ? 'index.html' : path.slice(1);
    for (const [header, value] of Object.entries(this.headers)) response.setHeader(header, value);
    if (name === 'regions.json') return response.setHeader('Content-Type', 'application/json').end(this.list);
    for (const file of [name, `${name}.html`]) {
      try {
        const body = readFileSync(join(dist, file));
        return response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream').end(body);
      } catch {
        // the next, or none
      }
    }
    response.writeHead(404).end();
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export class Region extends Run {
  /** Starts the function apps of an example, with one key, and tells `site` where they are. */
  static async startAll(dir, example, site, settings = []) {
    const key = join(dir, 'signing.key');
    writeFileSync(key, randomBytes(32).toString('base64'), { mode: 0o600 });
    const binary = deployed();
    const plans = [];
    for (const one of functionApps(example)) plans.push({ ...one, api: await freePort('127.0.0.1'), realtime: await freePort('localhost') });
    if (plans.length === 0) throw new Error(`${example} has no function apps`);
    const here = (text) => {
      const moved = plans.reduce((all, { app, api }) => all.replaceAll(`https://${app}.azurewebsites.net`, `http://127.0.0.1:${api}`), text.replaceAll(/https:\/\/stapp-[a-z0-9]+\.azurestaticapps\.net/g, site.origin));
      if (/azure/.test(moved)) throw new Error(`${moved} is elsewhere`);
      return moved;
    };
    for (const plan of plans) {
      plan.settings = plan.settings.map(({ name, value }) => `${name}=${here(value)}`);
      plan.name = plan.settings.find((s) => s.startsWith('CAUSEWAY_REGION='))?.split('=')[1] ?? 'only';
    }
    const list = plans[0].settings.find((s) => s.startsWith('CAUSEWAY_REGIONS='))?.slice('CAUSEWAY_REGIONS='.length).split(',') ?? [`only=http://127.0.0.1:${plans[0].api}`];
    site.set(list.map((entry) => {
      const [name, api] = entry.split('=');
      return { name, api, signalr: `http://localhost:${plans.find((plan) => plan.name === name).realtime}` };
    }));
    const common = [`CAUSEWAY_SIGNING_KEY=file:${key}`, 'CAUSEWAY_PROXY_HOPS=1', ...settings];
    return Promise.all(plans.map((plan) => Region.#start(join(dir, plan.name), binary, plan, common)));
  }

  static async #start(dataDir, app, { name, api, realtime, settings }, common) {
    const all = [...common, ...settings].flatMap((setting) => ['--setting', setting]);
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
