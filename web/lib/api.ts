/** The server's HTTP calls, docs/protocol.md §2. */
import { ApiError, post } from './patient';
import { isCount } from './protocol';
import { parseRegions, type Seat } from './place';
import type { Report } from './report';

export { ApiError };

/** What a session is for: a transfer, unless it is said to be a room. */
export type SessionKind = 'room' | undefined;

/** `server` is what has given it: the origin of a region, or '' for the page's own. */
export interface Membership extends Seat {
  session: string;
  grant: string;
  /** How many receivers a host admits, or members a room holds. */
  seats: number;
  /** Unix seconds */
  expires: number;
}

export interface HostMembership extends Membership {
  invite: string;
  base: string;
}

function membership(answer: Record<string, unknown>, server: string): Membership {
  const { session, peer, grant, seats, expires } = answer;
  if (typeof session !== 'string' || typeof peer !== 'string' || typeof grant !== 'string' || !isCount(seats) || !isCount(expires)) {
    throw new ApiError('bad_answer', 'the server gave an answer that makes no sense');
  }
  return { session, peer, grant, seats, expires, regions: parseRegions(answer.regions), server };
}

export async function createSession(kind?: SessionKind, server = ''): Promise<HostMembership> {
  const answer = await post(`${server}/api/sessions`, { kind });
  const { invite, base } = answer;
  if (typeof invite !== 'string' || typeof base !== 'string') {
    throw new ApiError('bad_answer', 'the server gave an answer that makes no sense');
  }
  return { ...membership(answer, server), invite, base };
}

/** Tells the server what became of a session, and does not wait for the answer: the page may be going. */
export function sendReport(report: Report, grant: string, server = ''): void {
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${grant}` };
  fetch(`${server}/api/report`, { method: 'POST', headers, body: JSON.stringify(report), keepalive: true }).catch(() => {}); // nobody misses it
}

export async function joinSession(invite: string, kind?: SessionKind, server = ''): Promise<Membership> {
  return membership(await post(`${server}/api/sessions/join`, { invite, kind }), server);
}

/** Where to connect to the hub, and the token for it. */
export async function negotiate(grant: string, signal: AbortSignal, server = ''): Promise<Record<string, unknown>> {
  return post(`${server}/api/negotiate`, {}, grant, { signal, persistent: true });
}

/** Fetches ICE servers, and again when the credentials are about to expire. */
export class IceServers {
  #servers: RTCIceServer[] = [];
  #until = 0;

  #server = '';

  constructor(
    private readonly grant: string,
    /** Where to ask; what another server has said is not good for it. */
    private readonly server: () => string = () => '',
  ) {}

  async get(): Promise<RTCIceServer[]> {
    const server = this.server();
    if (Date.now() < this.#until && server === this.#server) return this.#servers;
    const { iceServers, expires } = await post(`${server}/api/ice`, {}, this.grant);
    if (!Array.isArray(iceServers) || (expires !== undefined && !isCount(expires))) {
      throw new ApiError('bad_answer', 'the server gave no ICE servers');
    }
    this.#servers = iceServers as RTCIceServer[];
    this.#server = server;
    // Servers without credentials don't expire. Else half of the life that is left is for the connection to be made.
    this.#until = isCount(expires) ? Date.now() + Math.max(0, expires * 1000 - Date.now()) / 2 : Infinity;
    return this.#servers;
  }
}
