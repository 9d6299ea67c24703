/**
 * The direct connection of two members: one link at a time (link.ts), made by the one with the smaller peer id, who is its host.
 * It is bound to the room's secret and to both members' keys. When it is lost, or no path is found, it is tried again while the
 * other is there; what has to be said meanwhile goes by way of the server. One that could not be verified is not tried again.
 */
import type { Bytes } from '../bytes';
import { Link } from '../link';
import type { Path } from '../path';
import type { SignalData } from '../signaling';
import type { RoomSignaling } from './signaling';

const retryMs = [1000, 4000, 15_000, 30_000, 60_000];
const heldAtMost = 64;
/** What a channel may hold back before frames go no more; they are sent again later. */
const bufferAtMost = 4 << 20;

export interface PairLinkOptions {
  session: string;
  me: string;
  peer: string;
  /** Pair.linkSecret */
  secret: Bytes;
  /** Links are numbered from the next one; above those of an earlier page of this member. */
  numbersFrom: number;
  signaling: RoomSignaling;
  connect(): Promise<RTCPeerConnection>;
  frame(bytes: Bytes): void;
  /** The link is there, or no more. */
  changed(): void;
  failed(error: unknown): void;
}

type LinkSignal = Extract<SignalData, { type: 'description' | 'candidate' }>;

export class PairLink {
  /** What came as a proof was wrong: somebody is in between. */
  unverified = false;
  /** The last try has found no path. */
  unreachable = false;
  readonly #host: boolean;
  #link: Link | undefined;
  #number: number;
  #connecting = false;
  #tries = 0;
  #wanted = false;
  #closed = false;
  /** The link of which the other side says that it could not verify it. */
  #accused = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #held: { n: number; data: LinkSignal }[] = [];
  #relays: RTCIceServer[] | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(private readonly options: PairLinkOptions) {
    this.#host = options.me < options.peer;
    this.#number = this.#host ? options.numbersFrom : 0;
  }

  get ready(): boolean {
    return this.#link?.phase === 'ready' && !this.#link.interrupted;
  }

  path(): Promise<Path | undefined> {
    return this.#link?.path() ?? Promise.resolve(undefined);
  }

  /** False: there is no way here at the moment. */
  send(frame: Bytes): boolean {
    const link = this.#link;
    if (!link || !this.ready || link.data.bufferedAmount > bufferAtMost) return false;
    link.data.send(frame);
    return true;
  }

  /** The other is there: make a link if there is none. */
  want(): void {
    this.#wanted = true;
    if (this.#host && !this.#link && !this.#connecting && this.#retry === undefined) this.#make();
  }

  /** The other has gone; a link that is ready will find out itself. */
  unwant(): void {
    this.#wanted = false;
    this.#tries = 0;
  }

  signal(n: number, data: SignalData): void {
    if (data.type === 'cancel') return this.#cancelled(data);
    if (data.type !== 'description' && data.type !== 'candidate') return;
    if (this.#host) {
      if (data.link === this.#link?.number) this.#link.onSignal(n, data);
      return;
    }
    this.#work = this.#work.then(() => this.#follow(n, data)).catch((error: unknown) => this.options.failed(error));
  }

  relay(number: number, servers: RTCIceServer[]): void {
    this.#relays = servers;
    if (this.#link?.number === number) this.#link.onRelay(servers);
  }

  /** The relay in use goes away. */
  restart(servers: RTCIceServer[]): void {
    this.#relays = servers;
    this.#link?.onRestart(servers);
  }

  /** Signaling is up again, and what was said meanwhile was lost. */
  signalingBack(): void {
    this.#link?.signalingBack();
  }

  /** `now`: the page goes. */
  close(now = false): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    const link = this.#link;
    if (!link) return;
    this.#tell(link, 'lost');
    link.close('gone', now);
  }

  #make(): void {
    if (this.unverified || this.#closed) return;
    this.#connecting = true;
    this.#connect(++this.#number)
      .catch((error: unknown) => {
        this.#again();
        this.options.failed(error);
      })
      .finally(() => (this.#connecting = false));
  }

  /** The guest's side: an offer with a higher number is a new link. */
  async #follow(n: number, data: LinkSignal): Promise<void> {
    if (data.link < this.#number || this.unverified || this.#closed) return;
    if (data.link > this.#number) {
      if (data.type !== 'description' || data.description.type !== 'offer') {
        if (this.#held.length < heldAtMost) this.#held.push({ n, data });
        return;
      }
      const old = this.#link;
      this.#link = undefined;
      old?.close();
      this.#number = data.link;
      await this.#connect(data.link);
    }
    this.#link?.onSignal(n, data);
    const held = this.#held;
    this.#held = held.filter((one) => one.data.link > this.#number);
    for (const one of held) if (one.data.link === this.#number) this.#link?.onSignal(one.n, one.data);
  }

  async #connect(number: number): Promise<void> {
    const { session, me, peer, secret, signaling } = this.options;
    const connection = await this.options.connect();
    if (this.#closed) return connection.close();
    const link: Link = new Link(
      {
        role: this.#host ? 'host' : 'guest',
        number,
        session,
        secret,
        hostPeer: this.#host ? me : peer,
        guestPeer: this.#host ? peer : me,
        connection,
        signal: (data) => signaling.send(peer, data),
        relay: () => signaling.relay(peer, number),
        relays: this.#relays,
        interrupted: () => signaling.check(),
      },
      {
        changed: () => this.#linkChanged(link),
        control: () => {}, // nothing but its binding
        data: (message) => {
          if (message instanceof ArrayBuffer) this.options.frame(new Uint8Array(message));
        },
      },
    );
    this.#link = link;
  }

  #linkChanged(link: Link): void {
    if (this.#link !== link) return;
    if (link.phase === 'ready') {
      this.#tries = 0;
      this.unreachable = false;
    }
    if (link.phase === 'closed') this.#ended(link);
    this.options.changed();
  }

  #ended(link: Link): void {
    this.#link = undefined;
    if (this.#closed) return;
    // A path that is lost before the proofs are through proves nothing about anybody.
    const unverified = link.end === 'unverified' && (link.forged || this.#accused === link.number);
    this.unverified ||= unverified;
    this.unreachable ||= link.end === 'unreachable' || (link.end === 'unverified' && !unverified);
    if (link.end !== 'gone') this.#tell(link, unverified ? 'unverified' : 'lost');
    this.#again();
  }

  #again(): void {
    if (!this.#host || !this.#wanted || this.unverified || this.#closed) return;
    const wait = retryMs[Math.min(this.#tries++, retryMs.length - 1)];
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.#wanted && !this.#link) this.#make();
    }, wait);
  }

  #cancelled(data: Extract<SignalData, { type: 'cancel' }>): void {
    const link = this.#link;
    if (!link || link.number !== data.link) return;
    if (data.reason === 'unverified') this.#accused = link.number;
    link.ended(data.reason === 'unverified' ? 'unverified' : 'lost');
  }

  #tell(link: Link, reason: 'lost' | 'unverified'): void {
    this.options.signaling.send(this.options.peer, { type: 'cancel', link: link.number, reason });
  }
}
