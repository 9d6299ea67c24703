/** A host and its guests over a server and a network that tests control: import it, and each test has new ones. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { utf8 } from '../bytes';
import { nobleHash } from '../crypto';
import { GuestSession } from '../guest';
import { HostSession } from '../host';
import { parseSignal, type SignalData, type SignalHandler, type Signaling } from '../signaling';
import type { SourceFile } from '../sending';
import { Network } from './peers';
import { content, sourceFile } from './wire';
import type { Role } from '../binding';

type Member = Pick<SignalHandler, 'hello' | 'signal' | 'left' | 'relay' | 'restart'> & { role: Role };

/** A server that relays, and may lose, hold or change what it relays. */
class Server {
  members = new Map<string, Member>();
  change: (from: string, data: SignalData) => SignalData | undefined = (_, data) => data;
  log: string[] = [];
  /** What a pair is given that asks for a relay. */
  relayed: RTCIceServer[] = [{ urls: ['turn:here'], username: 'u', credential: 'c' }];
  #numbers = new Map<string, number>();

  endpoint(peer: string, role: Role): Signaling {
    return {
      hello: () => {
        this.log.push(`${role} hello`);
        for (const [id, member] of this.members) if (member.role !== role) setTimeout(() => this.members.get(id)?.hello(peer, role), 1);
      },
      send: (to, data) => {
        this.log.push(`${role} ${data.type}`);
        const n = (this.#numbers.get(peer + to) ?? 0) + 1;
        this.#numbers.set(peer + to, n);
        const changed = this.change(peer, data);
        const parsed = changed && parseSignal(JSON.parse(JSON.stringify(changed)));
        if (changed && !parsed) throw new Error('not a signal');
        if (parsed) setTimeout(() => this.members.get(to)?.signal(peer, role, n, parsed), 1);
      },
      check: () => void this.log.push(`${role} check`),
      relay: (to, link) => {
        this.log.push(`${role} relay`);
        setTimeout(() => this.members.get(to)?.relay(peer, link, this.relayed), 1);
        setTimeout(() => this.members.get(peer)?.relay(to, link, this.relayed), 1);
      },
    };
  }
}

export const secret = utf8('0123456789abcdef');
export let server: Server;
export let network: Network;
export const failed = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  network = new Network();
  failed.mockReset();
});
afterEach(() => {
  vi.useRealTimers();
  expect(failed).not.toHaveBeenCalled();
});

export const common = { session: 'session', sha256: nobleHash, changed: () => {}, failed };

export function host(files: SourceFile[] = [sourceFile('a', content(100_000))], seats = 8): HostSession {
  const session = new HostSession({ ...common, peer: 'host', secret, seats, files, signaling: server.endpoint('host', 'host'), connect: async () => network.create() });
  server.members.set('host', { role: 'host', hello: session.hello.bind(session), signal: session.signal.bind(session), left: session.left.bind(session), relay: session.relay.bind(session), restart: session.restart.bind(session) });
  session.connected();
  return session;
}

export function guest(peer = 'guest', own = secret): GuestSession {
  const session = new GuestSession({ ...common, peer, secret: own, signaling: server.endpoint(peer, 'guest'), connect: async () => network.create() });
  server.members.set(peer, { role: 'guest', hello: session.hello.bind(session), signal: session.signal.bind(session), left: session.left.bind(session), relay: session.relay.bind(session), restart: session.restart.bind(session) });
  session.connected();
  return session;
}

export const pass = (ms = 500) => vi.advanceTimersByTimeAsync(ms);
