/**
 * The signaling connection, docs/protocol.md §3: an unmodified SignalR client that is started again for ever, since a
 * link is good for as long as the sender's tab is open, whatever happens to the server in between.
 */
import { DefaultHttpClient, HttpError, HttpResponse, HubConnectionBuilder, LogLevel, NullLogger, type HttpRequest, type HubConnection } from '@microsoft/signalr';
import { ApiError, negotiate } from './api';
import type { Role } from './binding';
import { parseServers } from './lazy-relay';
import { isCount, isReason, isRecord, type Reason } from './protocol';
import { ownPlace, type Place } from './place';

/** Of who sent a message: a transfer's host or guest, or a room's member. */
export type PeerRole = Role | 'member';

/** Reasons of a link's end, which travel by signaling only. */
export type LinkReason = 'lost' | 'unverified';

/** What peers tell each other. `link` counts the host's connections to one guest, from 1. */
export type SignalData =
  | { type: 'here' }
  | { type: 'busy' }
  | { type: 'description'; link: number; description: RTCSessionDescriptionInit }
  | { type: 'candidate'; link: number; candidate: RTCIceCandidateInit | null }
  | { type: 'cancel'; link: number; reason: Reason | LinkReason };

export interface SignalHandler {
  /** The connection is up, for the first time or again: say hello. */
  connected(): void;
  disconnected(): void;
  hello(from: string, role: PeerRole): void;
  signal(from: string, role: PeerRole, n: number, data: SignalData): void;
  left(from: string, role: PeerRole): void;
  /** This link with `from` may use a relay. */
  relay(from: string, link: number, servers: RTCIceServer[]): void;
  /** The relay that is used with `from` goes away: these take its place, by a restart of ICE. */
  restart(from: string, servers: RTCIceServer[]): void;
  /** A budget that this session's relays draw on is nearly spent, or spent: what is relayed stops then. */
  budget(state: 'warning' | 'spent'): void;
  /** The server won't have this peer any more (its grant has expired, for one), or refused a message. */
  refused(error: SignalError): void;
}

/** `fatal`: the connection is given up. */
export interface SignalError {
  fatal: boolean;
  code: string;
}

/** What the sessions need; tests have their own. */
export interface Signaling {
  hello(): void;
  send(to: string, data: SignalData): void;
  /** Asks for a relay for a link with `to`; bytes: what is to be sent over it, if known. */
  relay(to: string, link: number, bytes?: number): void;
  /** Something else has lost its network: find out whether this has. */
  check(): void;
}

/** How long an answer to a check may take. */
const checkMs = 4000;
/** How long making a connection may take where there is another region. */
const startWithinMs = 20_000;
const firstRetryMs = 250;
const lastRetryMs = 8000;
const seenAtMost = 1024;
const peersAtMost = 512;

/** Drops what was seen: signals of one peer, by number. Forgets in order of arrival, so it stays small. */
export class Seen {
  #peers = new Map<string, Set<number>>();

  /** True the first time. */
  first(from: string, n: number): boolean {
    let numbers = this.#peers.get(from);
    if (!numbers) {
      numbers = new Set();
      this.#peers.set(from, numbers);
      forgetOldest(this.#peers, peersAtMost);
    }
    if (numbers.has(n)) return false;
    numbers.add(n);
    forgetOldest(numbers, seenAtMost);
    return true;
  }
}

function forgetOldest(kept: { size: number; keys(): IterableIterator<unknown>; delete(key: never): boolean }, atMost: number): void {
  if (kept.size > atMost) kept.delete(kept.keys().next().value as never);
}

function isLink(value: unknown): value is number {
  return isCount(value) && value > 0;
}

/** Decodes `data` of a signal; undefined if it isn't one. */
export function parseSignal(data: unknown): SignalData | undefined {
  if (!isRecord(data)) return undefined;
  const { type, link } = data;
  if (type === 'here' || type === 'busy') return { type };
  if (!isLink(link)) return undefined;
  if (type === 'description') {
    const d = data.description;
    if (!isRecord(d) || (d.type !== 'offer' && d.type !== 'answer') || typeof d.sdp !== 'string') return undefined;
    return { type, link, description: { type: d.type, sdp: d.sdp } };
  }
  if (type === 'candidate') {
    const c = data.candidate;
    if (c !== null && (!isRecord(c) || typeof c.candidate !== 'string')) return undefined;
    return { type, link, candidate: c as RTCIceCandidateInit | null };
  }
  if (type === 'cancel' && (isReason(data.reason) || data.reason === 'lost' || data.reason === 'unverified')) {
    return { type, link, reason: data.reason };
  }
  return undefined;
}

function sender(event: unknown): { from: string; role: PeerRole; n: unknown; data: unknown } | undefined {
  if (!isRecord(event) || typeof event.from !== 'string' || event.from.length > 64) return undefined;
  if (event.role !== 'host' && event.role !== 'guest' && event.role !== 'member') return undefined;
  return { from: event.from, role: event.role, n: event.n, data: event.data };
}

/** Full jitter below an exponential bound (retries counts from 0), so that a restarted server isn't stormed. */
export function retryDelayMs(retries: number, random = Math.random()): number {
  const bound = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(retries, 16));
  return bound / 2 + (random * bound) / 2;
}

/** SignalR's own, but for our negotiation, which may have to do some work first. */
class PatientClient extends DefaultHttpClient {
  constructor(
    private readonly grant: string,
    private readonly signal: AbortSignal,
  ) {
    super(NullLogger.instance);
  }

  override async send(request: HttpRequest): Promise<HttpResponse> {
    const ours = /^(https?:\/\/[^/]+)?\/api\/negotiate(\?|$)/.exec(request.url ?? '');
    if (!ours) return super.send(request);
    try {
      return new HttpResponse(200, 'OK', JSON.stringify(await negotiate(this.grant, this.signal, ours[1])));
    } catch (error) {
      throw error instanceof ApiError ? new HttpError(error.message, error.status) : error;
    }
  }
}

export class HubSignaling implements Signaling {
  #hub: HubConnection;
  /** Where it leads to. */
  #base = '';
  #check: ReturnType<typeof setTimeout> | undefined;
  /** Signals are numbered from the next one; a peer whose page is loaded again goes on above what it had. */
  protected readonly numbersFrom: number = 0;
  #hellos = 0;
  #numbers = new Map<string, number>();
  #seen = new Seen();
  #up = false;
  #closed = false;
  #wake: () => void = () => {};
  #end = new AbortController();

  constructor(
    private readonly grant: string,
    private readonly handler: SignalHandler,
    /** Where a relay should rather be. */
    private readonly region?: string,
    private readonly place: Place = ownPlace,
    /** Other events, by their targets. */
    private readonly others: Record<string, (event: unknown) => void> = {},
  ) {
    this.#hub = this.#build();
  }

  #build(): HubConnection {
    const { handler, place } = this;
    this.#base = place.base;
    const hub = new HubConnectionBuilder().withUrl(`${place.base}/api`, { accessTokenFactory: () => this.grant, httpClient: new PatientClient(this.grant, this.#end.signal) }).configureLogging(LogLevel.None).build();
    // One that was abandoned has nothing to say any more.
    const on = (target: string, then: (event: unknown) => void): void =>
      hub.on(target, (event: unknown) => {
        if (hub !== this.#hub) return;
        if (isRecord(event) && typeof event.from === 'string' && target !== 'left') place.met(event.from);
        then(event);
      });
    on('hello', (event) => {
      const s = sender(event);
      if (s) handler.hello(s.from, s.role);
    });
    on('left', (event) => {
      const s = sender(event);
      if (s) handler.left(s.from, s.role);
    });
    on('relay', (event) => {
      const s = sender(event);
      const { link, iceServers } = event as { link?: unknown; iceServers?: unknown };
      const servers = parseServers(iceServers);
      if (s && isLink(link) && servers) handler.relay(s.from, link, servers);
    });
    on('restart', (event) => {
      const s = sender(event);
      const servers = parseServers((event as { iceServers?: unknown } | null)?.iceServers);
      if (s && servers) handler.restart(s.from, servers);
    });
    on('budget', (event) => {
      if (isRecord(event) && (event.state === 'warning' || event.state === 'spent')) handler.budget(event.state);
    });
    on('signal', (event) => this.#received(event));
    on('refused', (event) => {
      const code = isRecord(event) ? event.code : undefined;
      if (code !== 'room_full' && code !== 'removed') return;
      this.#closed = true;
      handler.refused({ fatal: true, code });
    });
    for (const [target, then] of Object.entries(this.others)) on(target, then);
    hub.onclose(() => {
      if (hub === this.#hub) this.#wake();
    });
    return hub;
  }

  #received(event: unknown): void {
    const s = sender(event);
    const data = parseSignal(s?.data);
    if (s && data && isLink(s.n) && this.#seen.first(s.from, s.n)) this.handler.signal(s.from, s.role, s.n, data);
  }

  /** Connects, and connects again, until close; resolves then. */
  async run(): Promise<void> {
    for (let retries = 0; !this.#closed; retries++) {
      try {
        await this.#start();
        retries = -1;
        await this.#whileUp();
      } catch (error) {
        if (isUnauthorized(error)) {
          this.handler.refused({ fatal: true, code: 'bad_grant' });
          return;
        }
        this.place.failed();
      }
      if (!this.#closed) await this.#pause(retryDelayMs(Math.min(Math.max(0, retries), this.place.several ? 3 : Infinity)));
    }
  }

  async #start(): Promise<void> {
    if (this.#base !== this.place.base) this.#renew();
    this.place.trying();
    if (!this.place.several) return this.#hub.start();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#renew();
        reject(new Error('no connection'));
      }, startWithinMs);
    });
    await Promise.race([this.#hub.start(), late]).finally(() => clearTimeout(timer));
  }

  async #whileUp(): Promise<void> {
    const down = this.#woken();
    this.#up = true;
    this.place.up(() => this.#abandon());
    this.handler.connected();
    await down;
    this.#up = false;
    this.place.down();
    this.#unchecked();
    this.handler.disconnected();
  }

  check(): void {
    if (!this.#up || this.#check) return;
    const hub = this.#hub;
    const timer = setTimeout(() => this.#abandon(), checkMs);
    this.#check = timer;
    const answered = (): void => {
      if (this.#check === timer) this.#unchecked();
    };
    this.place.asked();
    hub.invoke('hello', { n: ++this.#hellos }).then(answered, answered); // a refusal is an answer, too
  }

  #unchecked(): void {
    clearTimeout(this.#check);
    this.#check = undefined;
  }

  /** The connection is dead, which it would notice much later only: begins another. */
  #abandon(): void {
    this.#renew();
    this.#unchecked();
    this.#wake();
  }

  #renew(): void {
    const old = this.#hub;
    this.#hub = this.#build();
    old.stop().catch(() => {}); // fails in its own time
  }

  /** The network is said to be back: don't wait for the next try. */
  retryNow(): void {
    if (this.#up) return;
    this.place.renewed();
    this.#wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unchecked();
    this.#end.abort(new ApiError('cancelled', 'the page has ended it'));
    if (this.#up) await this.#hub.invoke('bye', {}).catch(() => {});
    await this.#hub.stop();
    this.#wake();
  }

  hello(): void {
    if (this.#up) this.place.asked();
    this.invoke('hello', { n: ++this.#hellos });
  }

  send(to: string, data: SignalData): void {
    const n = (this.#numbers.get(to) ?? this.numbersFrom) + 1;
    this.#numbers.set(to, n);
    this.invoke('signal', { to, n, data });
  }

  relay(to: string, link: number, bytes?: number): void {
    this.invoke('relay', { to, link, bytes, region: this.region });
  }

  protected invoke(method: string, message: object): void {
    if (!this.#up) return; // at most once: whoever misses it says hello again
    this.#hub.invoke(method, message).catch((error: unknown) => {
      // "…HubException: code: sentence"; the sentence may hold colons of its own.
      const code = /(?:^|HubException: )([a-z_]+): /.exec(error instanceof Error ? error.message : '')?.[1];
      if (code && this.#up) this.handler.refused({ fatal: false, code });
    });
  }

  #pause(ms: number): Promise<void> {
    const timer = setTimeout(() => this.#wake(), ms);
    return this.#woken().finally(() => clearTimeout(timer));
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function isUnauthorized(error: unknown): boolean {
  return isRecord(error) && (error as { statusCode?: unknown }).statusCode === 401 || (error instanceof Error && /\b401\b/.test(error.message));
}
