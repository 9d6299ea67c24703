// Puts the pages together for a static site: what `make build` left in internal/web/dist, the rules of
// staticwebapp.config.json with the regions' hosts in the content security policy, and regions.json, from which
// the pages know where the API is.
//
//   node deploy/site/render.mjs OUT [REGIONS.JSON] [--dist DIR]
//
// REGIONS.JSON is the output `regions` of the Terraform example (tofu output -json regions): a list of
// {"name", "api", "signalr"}. Without it the pages ask their own origin.
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));

class Refusal extends Error {}

/** The regions, checked: they go into a security policy, word by word. */
export function checkRegions(list) {
  if (!Array.isArray(list) || list.length === 0) throw new Refusal('regions: a list of at least one is wanted');
  const names = new Set();
  for (const { name, api, signalr } of list) {
    if (!/^[a-z][a-z0-9]{1,31}$/.test(name ?? '') || names.has(name)) throw new Refusal(`regions: the name ${JSON.stringify(name)} is not one, or is there twice`);
    names.add(name);
    for (const url of [api, signalr]) {
      if (!/^https:\/\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?$/.test(url ?? '')) throw new Refusal(`regions: ${JSON.stringify(url)} is not an origin such as https://example.org`);
    }
  }
  return list;
}

/** The rules, with the regions' hosts in connect-src: the API by HTTPS, SignalR by HTTPS and WebSocket. */
export function rules(config, regions) {
  const policy = config.globalHeaders['Content-Security-Policy'];
  const hosts = new Set();
  for (const { api, signalr } of regions) {
    hosts.add(api).add(signalr).add(signalr.replace(/^http/, 'ws'));
  }
  const own = "connect-src 'self'";
  if (policy.split(own).length !== 2) throw new Refusal('the content security policy has no connect-src to add to');
  return {
    ...config,
    globalHeaders: { ...config.globalHeaders, 'Content-Security-Policy': policy.replace(own, [own, ...hosts].join(' ')) },
  };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { dist: { type: 'string', default: join(here, '../../internal/web/dist') } },
  });
  const [out, file] = positionals;
  if (!out || positionals.length > 2) throw new Refusal('usage: node deploy/site/render.mjs OUT [REGIONS.JSON] [--dist DIR]');
  const files = await readdir(values.dist).catch(() => []);
  if (!files.includes('index.html')) throw new Refusal(`${values.dist} has no index.html; run: make build`);
  if ((await stat(out).catch(() => null))?.isDirectory() && (await readdir(out)).length > 0) throw new Refusal(`${out} is not empty`);

  const regions = file ? checkRegions(JSON.parse(await readFile(file, 'utf8'))) : [];
  const config = JSON.parse(await readFile(join(here, 'staticwebapp.config.json'), 'utf8'));
  await mkdir(out, { recursive: true });
  await cp(values.dist, out, { recursive: true });
  await rm(join(out, '.gitignore'), { force: true });
  await rm(join(out, '.vite'), { recursive: true, force: true });
  await rm(join(out, 'admin.html'), { force: true }); // it is served with the API of a node that has one
  const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
  await writeFile(join(out, 'staticwebapp.config.json'), json(regions.length > 0 ? rules(config, regions) : config));
  if (regions.length > 0) await writeFile(join(out, 'regions.json'), json({ regions: regions.map(({ name, api }) => ({ name, url: api })) }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`render: ${error instanceof Refusal ? error.message : error.stack}`);
    process.exit(1);
  });
}
