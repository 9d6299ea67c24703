/**
 * The shape that Causeway has on Azure, in the place of `causeway serve`, for the tests that run over both
 * (CAUSEWAY_E2E_SHAPE=functions): `causeway emulate` starts the release binary as the Functions host does, from the package that
 * is deployed, and the realtime service in the place of Azure's; the relay is a node of ours elsewhere, which keeps its own books.
 * Requests go to two instances in turn, which share what is in a database, as on Azure.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Run, binary, causeway } from './server.mjs';

/** What must be as it was when a server starts again: ports, by data directory. */
const kept = new Map();
/** Origin of the pages → origin of the realtime service. */
const realtime = new Map();

/** Where pages of `origin` connect to, if that is elsewhere. */
export function realtimeOf(origin) {
  return realtime.get(origin);
}

export function setRealtimeOf(origin, service) {
  realtime.set(origin, service);
}

/** A port that nobody has, and that nobody gets who doesn't ask for it: it is below those that systems give to connections. */
export async function freePort(host) {
  for (;;) {
    const port = 10_000 + randomInt(20_000);
    const server = createServer();
    const taken = await new Promise((resolve) => server.once('error', resolve).listen(port, host, () => resolve(undefined)));
    if (taken && taken.code !== 'EADDRINUSE') throw taken;
    if (taken) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** A relay node, whose key is made from the signing key of the function app. */
async function startNode(dataDir, listen, tell, args) {
  const { code, stdout, stderr } = await causeway(['node', 'key', 'relay', '--signing-key', `file:${join(dataDir, 'signing.key')}`, '--data-dir', dataDir]);
  if (code !== 0) throw new Error(`node key: ${stderr}`);
  const node = new Run(['relay', '--node-key', 'env:NODE_KEY', '--turn-listen', listen, '--control-listen', '127.0.0.1:0', '--data-dir', join(dataDir, 'relay'), '--log-level', 'debug',
    '--drain-timeout', '0s', '--tell', tell, ...args], { env: { NODE_KEY: stdout.trim() } });
  await node.output('addresses', () => /^Ctrl-C/m.test(node.stdout));
  node.address = /listening on (\S+)/.exec(node.stdout)[1];
  node.control = /control interface is (\S+)/.exec(node.stdout)[1];
  return node;
}

let unpacked;

/** The folder that would be deployed, made of the package; once for all tests of a process. */
export function deployed() {
  if (!unpacked) {
    unpacked = mkdtempSync(join(tmpdir(), 'causeway-app-'));
    process.once('exit', () => rmSync(unpacked, { recursive: true, force: true }));
    execFileSync(binary, ['package', join(unpacked, 'functions.zip')]);
    execFileSync('python3', ['-m', 'zipfile', '-e', join(unpacked, 'functions.zip'), join(unpacked, 'app')]);
    execFileSync('chmod', ['755', join(unpacked, 'app', 'causeway')]); // which the zip file says, and this unpacker ignores
  }
  return join(unpacked, 'app');
}

export class FunctionsShape extends Run {
  urls = [];
  relayUrls = [];

  static async start({ dataDir, listen, turnListen, args }) {
    const settings = ['STATE', 'STATS'].map((name) => `CAUSEWAY_${name}=sqlite:${join(dataDir, `${name}.db`.toLowerCase())}`);
    for (let i = 0; i < args.length; i += 1) {
      const value = args[i + 1] === undefined || args[i + 1].startsWith('--') ? 'true' : args[i + 1];
      settings.push(`${args[i].replace(/^--/, 'CAUSEWAY_').replaceAll('-', '_').toUpperCase()}=${value}`);
      if (value === args[i + 1]) i += 1;
    }
    mkdirSync(dataDir, { recursive: true });
    const key = join(dataDir, 'signing.key');
    if (!existsSync(key)) writeFileSync(key, randomBytes(32).toString('base64'), { mode: 0o600 });
    const budget = args.indexOf('--budget-session');
    const before = kept.get(dataDir) ?? { host: `127.0.0.1:${await freePort('127.0.0.1')}`, realtime: `localhost:${await freePort('localhost')}` };
    kept.set(dataDir, before);
    const relay = turnListen === 'off' ? undefined : await startNode(dataDir, turnListen, `http://${before.host}`, budget < 0 ? [] : args.slice(budget, budget + 2));
    if (relay) settings.push(`CAUSEWAY_RELAY_NODE=[{name: relay, url: '${relay.control}'}]`);
    settings.push(`CAUSEWAY_STUN_SERVER=stun:${relay?.address ?? '127.0.0.1:9'}`);
    const shape = new FunctionsShape(['emulate', '--app', deployed(), '--listen', listen, '--host-listen', before.host, '--realtime-listen', before.realtime, '--data-dir', dataDir,
      '--instances', '2', '--log-level', 'debug', ...settings.flatMap((s) => ['--setting', s])], { group: true });
    shape.relay = relay;
    try {
      await shape.output('addresses', () => /^Ctrl-C/m.test(shape.stdout));
    } catch (error) {
      await shape.stop('SIGKILL');
      throw error;
    }
    [shape.urls[0], shape.realtime] = shape.stdout.match(/https?:\/\/\S+/g);
    if (relay) shape.relayUrls = [`stun:${relay.address}`, `turn:${relay.address}`];
    setRealtimeOf(shape.origin, shape.realtime);
    return shape;
  }

  get origin() {
    return new URL(this.urls[0]).origin;
  }

  get port() {
    return Number(new URL(this.urls[0]).port);
  }

  async stop(signal, ms) {
    try {
      return await super.stop(signal, ms);
    } finally {
      await this.relay?.stop(signal, ms);
    }
  }

  toString() {
    return `causeway emulate (${this.urls[0] ?? 'not started'})`;
  }
}
