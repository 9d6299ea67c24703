/** `causeway realtime` as a child process. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Log, within } from './conditions.mjs';

const binary = process.env.CAUSEWAY_BIN ?? fileURLToPath(new URL('../../../bin/causeway', import.meta.url));

/** The environment without settings of Causeway, so that only a test's own count. */
function cleanEnv(extra) {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CAUSEWAY_'))), ...extra };
}

/** A new folder for one test file, and its end. */
export async function scratch() {
  const dir = await mkdtemp(join(tmpdir(), 'causeway-realtime-'));
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Replaces a file at once, so that nobody reads half of it. */
export async function replaceFile(path, text) {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export class Service {
  stdout = '';
  stderr = '';
  #output = new Log();

  /** Starts it with a configuration (an object) in `dir`; a service started again in the same folder has the same data. */
  static async start(dir, config = {}, { args = [], env = {} } = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} is not there; make it with: make build`);
    const service = new Service();
    service.configFile = join(dir, 'causeway.yaml');
    await service.configure(config);
    service.#spawn(['realtime', '--config', service.configFile, '--listen', '127.0.0.1:0', '--data-dir', join(dir, 'data'), ...args], env);
    try {
      const line = await service.#output.wait('connection string', () => {
        if (service.exit) throw new Error(`causeway ended at start: ${service.stderr}`);
        return /^Endpoint=.*$/m.exec(service.stdout.includes('\n') ? service.stdout : '')?.[0];
      });
      service.connectionString = line;
      service.endpoint = /Endpoint=(.*?);/.exec(line)[1];
      service.key = /AccessKey=(.*?);/.exec(line)?.[1];
    } catch (error) {
      await service.stop('SIGKILL');
      throw error;
    }
    return service;
  }

  #spawn(args, env) {
    this.child = spawn(binary, args, { env: cleanEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
    for (const name of ['stdout', 'stderr']) {
      this.child[name].setEncoding('utf8').on('data', (text) => {
        this[name] += text;
        this.#output.wake();
      });
    }
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
        this.#output.wake();
      });
    });
  }

  /** Writes the configuration; a running service follows. JSON is YAML, too. */
  configure(config) {
    return replaceFile(this.configFile, typeof config === 'string' ? config : JSON.stringify(config, null, 2));
  }

  logged(pattern) {
    return this.#output.wait(`log line ${pattern}`, () => pattern.exec(this.stderr)?.[0]);
  }

  /** Ends it, and says how it ended: {code, signal}. */
  async stop(signal = 'SIGTERM') {
    if (!this.exit) this.child.kill(signal);
    try {
      return await within(() => `causeway did not end: ${this.stderr}`, this.ended, 30_000);
    } catch (error) {
      this.child.kill('SIGKILL');
      await this.ended;
      throw error;
    }
  }
}
