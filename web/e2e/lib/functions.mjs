/**
 * The shape that Causeway has on Azure, in the place of `causeway serve`, for the tests that run over both
 * (CAUSEWAY_E2E_SHAPE=functions): `causeway emulate` starts the release binary as the Functions host does, from the package that
 * is deployed, and the realtime service in the place of Azure's; the relay is coturn, as something bought would be.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Run, binary, lanAddress } from './server.mjs';

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

async function freePort(host) {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const secret = 'a secret of the tests';

/** coturn on an address of this machine, with the credentials of TURN REST. */
class Coturn {
  static async start(listen) {
    const relay = new Coturn();
    const [host, port] = listen.split(/:(?=\d+$)/);
    relay.address = `${host}:${Number(port) || (await freePort(host))}`;
    const args = ['-n', '--log-file=stdout', '--no-cli', '--no-tls', '--no-dtls', '--fingerprint', '--use-auth-secret', `--static-auth-secret=${secret}`, '--realm=cw',
      `--listening-ip=${host}`, `--relay-ip=${host}`, `--listening-port=${relay.address.split(':')[1]}`, '--pidfile=/dev/null', '--userdb=:memory:'];
    relay.child = spawn('turnserver', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    relay.ended = new Promise((resolve) => relay.child.once('close', resolve));
    await new Promise((resolve, reject) => {
      let text = '';
      const look = (chunk) => {
        text += chunk;
        if (/Total General servers|relay 0 initialization done|UDP listener opened/i.test(text)) resolve();
      };
      relay.child.stdout.on('data', look);
      relay.child.stderr.on('data', look);
      relay.child.once('error', reject);
      relay.ended.then(() => reject(new Error(`turnserver ended:\n${text}`)));
    });
    return relay;
  }

  async stop() {
    this.child.kill('SIGKILL'); // it takes its time otherwise
    await this.ended;
  }
}

/** The folder that would be deployed, made of the package; once for a directory of tests. */
function deployed(dir) {
  mkdirSync(dir, { recursive: true });
  execFileSync(binary, ['package', join(dir, 'functions.zip')]);
  execFileSync('python3', ['-m', 'zipfile', '-e', join(dir, 'functions.zip'), join(dir, 'app')]);
  execFileSync('chmod', ['755', join(dir, 'app', 'causeway')]); // which the zip file says, and this unpacker ignores
  return join(dir, 'app');
}

export class FunctionsShape extends Run {
  urls = [];
  relayUrls = [];

  static async start({ dataDir, listen, turnListen, args }) {
    const settings = [];
    for (let i = 0; i < args.length; i += 2) settings.push(`${args[i].replace(/^--/, 'CAUSEWAY_').replaceAll('-', '_').toUpperCase()}=${args[i + 1]}`);
    const relay = turnListen === 'off' ? undefined : await Coturn.start(turnListen);
    if (relay) settings.push(`TURN_SECRET=${secret}`, `CAUSEWAY_PROVIDER=[{name: coturn, type: coturn, secret: 'env:TURN_SECRET', url: ['turn:${relay.address}?transport=udp', 'turn:${relay.address}?transport=tcp']}]`);
    settings.push(`CAUSEWAY_STUN_SERVER=stun:${relay?.address ?? '127.0.0.1:9'}`);
    const before = kept.get(dataDir) ?? { realtime: `localhost:${await freePort('localhost')}`, app: deployed(dataDir) };
    kept.set(dataDir, before);
    const shape = new FunctionsShape(['emulate', '--app', before.app, '--listen', listen, '--host-listen', '127.0.0.1:0', '--realtime-listen', before.realtime, '--data-dir', dataDir,
      '--log-level', 'debug', ...settings.flatMap((s) => ['--setting', s])]);
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
    await this.relay?.stop();
    return super.stop(signal, ms);
  }

  toString() {
    return `causeway emulate (${this.origin})`;
  }
}
