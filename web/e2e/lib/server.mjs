/** bin/causeway as a child process. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { deferred, within } from './conditions.mjs';

export const binary = process.env.CAUSEWAY_BIN ?? fileURLToPath(new URL('../../../bin/causeway', import.meta.url));

/** The address of this machine on its LAN: in the namespace of scripts/e2e.sh always the same. */
export function lanAddress() {
  if (process.env.CAUSEWAY_E2E_LAN) return process.env.CAUSEWAY_E2E_LAN;
  const found = Object.values(networkInterfaces()).flat().find((a) => a.family === 'IPv4' && !a.internal);
  if (!found) throw new Error('this machine has no address but loopback; run the browser tests by scripts/e2e.sh as root, or connect a network');
  return found.address;
}

/** The environment without settings of Causeway, so that only a test's own count. */
export function cleanEnv(extra = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('CAUSEWAY_'));
  return { ...Object.fromEntries(kept), ...extra };
}

/** One run of the binary. `ended` resolves with {code, signal}; what it wrote is in stdout and stderr. */
export class Run {
  stdout = '';
  stderr = '';
  #watchers = new Set();

  /** With `group`, SIGKILL ends the processes that it has started, too. */
  constructor(args, { env = {}, cwd, namespace, group = false } = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} is not there; make it with: make build`);
    this.args = args;
    const [program, ...before] = namespace ? ['ip', 'netns', 'exec', namespace, binary] : [binary];
    this.child = spawn(program, [...before, ...args], { env: cleanEnv(env), cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: group });
    this.group = group;
    for (const name of ['stdout', 'stderr']) {
      this.child[name].setEncoding('utf8').on('data', (text) => {
        this[name] += text;
        for (const look of [...this.#watchers]) look();
      });
    }
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
        for (const look of [...this.#watchers]) look();
      });
    });
  }

  /** Resolves with what `look` finds in the output; rejects when the program ends before. */
  async output(what, look, ms = 60_000) {
    const { promise, resolve, reject } = deferred();
    const watch = () => {
      const found = look(this);
      if (found) resolve(found);
      else if (this.exit) reject(new Error(`${this} ended with ${JSON.stringify(this.exit)} before ${what}:\n${this.stderr}${this.stdout}`));
    };
    this.#watchers.add(watch);
    try {
      watch();
      return await within(ms, () => `${this}: no ${what} in\n${this.stdout}\n${this.stderr}`, promise);
    } finally {
      this.#watchers.delete(watch);
    }
  }

  async finished(ms = 60_000) {
    return within(ms, () => `${this} did not end:\n${this.stderr}`, this.ended);
  }

  /** Ends it for sure; fails if it doesn't go by itself. */
  async stop(signal = 'SIGTERM', ms = 60_000) {
    if (!this.exit && this.group && signal === 'SIGKILL') process.kill(-this.child.pid, signal);
    else if (!this.exit) this.child.kill(signal);
    try {
      return await this.finished(ms);
    } catch (error) {
      if (this.group) process.kill(-this.child.pid, 'SIGKILL');
      else this.child.kill('SIGKILL');
      await this.ended;
      throw error;
    }
  }

  toString() {
    return `causeway ${this.args.join(' ')}`;
  }
}

/** `causeway serve`, listening. */
export class Server extends Run {
  /** the addresses that it says to open, best first */
  urls = [];
  relayUrls = [];

  /**
   * By default the pages are on localhost, where browsers give all their interfaces, and the relay on
   * the LAN address, since Firefox does not talk to STUN and TURN servers on loopback.
   */
  static async start({ dataDir, listen = 'localhost:0', turnListen = `${lanAddress()}:0`, args = [], env, namespace } = {}) {
    if (process.env.CAUSEWAY_E2E_SHAPE === 'functions') {
      const { FunctionsShape } = await import('./functions.mjs');
      return FunctionsShape.start({ dataDir, listen, turnListen, args });
    }
    const all = ['serve', '--listen', listen, '--turn-listen', turnListen, '--data-dir', dataDir, '--log-level', 'debug', ...args];
    const server = new Server(all, { env, namespace });
    try {
      await server.output('addresses', () => /^Ctrl-C/m.test(server.stdout));
    } catch (error) {
      await server.stop('SIGKILL');
      throw error;
    }
    server.urls = server.stdout.match(/https?:\/\/\S+/g) ?? [];
    server.relayUrls = server.stdout.match(/(?:turn|stun)s?:\S+/g) ?? [];
    return server;
  }

  /** Origin for a browser on this machine. */
  get origin() {
    return new URL(this.urls[0]).origin;
  }

  get port() {
    return Number(new URL(this.urls[0]).port);
  }
}

/** Runs a command to its end: {code, stdout, stderr}. */
export async function causeway(args, options) {
  const run = new Run(args, options);
  try {
    const { code } = await run.finished();
    return { code, stdout: run.stdout, stderr: run.stderr };
  } finally {
    if (!run.exit) await run.stop('SIGKILL');
  }
}
