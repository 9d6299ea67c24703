/**
 * The host's session: one link and one transfer for each guest, seats and the queue (docs/protocol.md §3, §4.3).
 * Everything here is bounded: 32 open links, `seats` transfers, and a table of guests that forgets the oldest idle ones.
 */
import type { Bytes } from './bytes';
import type { Sha256 } from './crypto';
import { Link, type LinkEnd, type LinkPhase } from './link';
import { isReason, type Reason } from './protocol';
import { Sending, type SendingPhase, type SourceFile } from './sending';
import type { LinkReason, PeerRole, SignalData, Signaling } from './signaling';
import type { Ending } from './transfer';

export const maxLinks = 32;
const maxGuests = 256;

export interface HostOptions {
  session: string;
  peer: string;
  /** The link's; in a room each pair of members has its own. */
  secret: Bytes | ((guest: string) => Bytes | undefined);
  seats: number;
  files: readonly SourceFile[];
  sha256: Sha256;
  signaling: Signaling;
  /** A new connection with fresh ICE servers. */
  connect(): Promise<RTCPeerConnection>;
  /** Something that the page shows has changed. */
  changed(): void;
  /** An exception that has no other place. */
  failed(error: unknown): void;
}

/** One guest, through all its attempts. */
export class HostGuest {
  link: Link | undefined;
  sending: Sending | undefined;
  /** How the last link ended. */
  linkEnd: LinkEnd | undefined;
  connecting = false;
  links = 0;
  /** What the server has given for a relay with it. */
  relays: RTCIceServer[] | undefined;
  /** It has everything, verified: its seat is used. */
  served = false;
  /** Its last transfer was asked for. */
  began = false;
  /** The place in the queue that it was told. */
  ahead = 0;

  constructor(
    readonly peer: string,
    /** 1 for the first that came */
    readonly number: number,
  ) {}

  get linkPhase(): LinkPhase {
    return this.connecting ? 'connecting' : (this.link?.phase ?? 'closed');
  }

  get phase(): SendingPhase | undefined {
    return this.sending?.phase;
  }

  get ending(): Ending | undefined {
    return this.sending?.ending;
  }

  /** It counts against the bound of links. */
  get linked(): boolean {
    return this.linkPhase !== 'closed';
  }

  /** Running, or confirming what it has received. */
  get active(): boolean {
    return this.phase === 'running' || this.phase === 'verifying';
  }

  get seated(): boolean {
    return this.active || this.phase === 'queued' || this.served;
  }
}

export class HostSession {
  /** In the order in which they came. */
  readonly guests = new Map<string, HostGuest>();
  #count = 0;
  /** Of guests in the order of their accept. */
  #queue: HostGuest[] = [];

  constructor(private readonly options: HostOptions) {}

  connected(): void {
    this.options.signaling.hello();
    for (const { link } of this.guests.values()) link?.signalingBack();
  }

  hello(from: string, role: PeerRole): void {
    if (role !== 'guest') return;
    const guest = this.#guest(from);
    if (guest.linked) return this.options.signaling.send(from, { type: 'here' });
    if ([...this.guests.values()].filter((one) => one.linked).length >= maxLinks) {
      return this.options.signaling.send(from, { type: 'busy' });
    }
    this.#connect(guest).catch((error: unknown) => {
      guest.connecting = false;
      this.options.failed(error);
      this.options.changed();
    });
  }

  signal(from: string, role: PeerRole, n: number, data: SignalData): void {
    const guest = role === 'guest' ? this.guests.get(from) : undefined;
    const link = guest?.link;
    if (!guest || !link || !('link' in data) || data.link !== link.number) return;
    if (data.type === 'cancel') this.#cancelled(guest, link, data.reason);
    else link.onSignal(n, data);
  }

  relay(from: string, number: number, servers: RTCIceServer[]): void {
    const guest = this.guests.get(from);
    if (!guest) return;
    guest.relays = servers;
    if (guest.link?.number === number) guest.link.onRelay(servers);
  }

  restart(from: string, servers: RTCIceServer[]): void {
    const guest = this.guests.get(from);
    if (!guest) return;
    guest.relays = servers;
    guest.link?.onRestart(servers);
  }

  /** May come late or never, so it only ends what has not begun. */
  left(from: string, role: PeerRole): void {
    const link = role === 'guest' ? this.guests.get(from)?.link : undefined;
    if (link?.phase === 'connecting') link.close('lost');
  }

  /** The user's word against one guest. */
  cancel(guest: HostGuest): void {
    guest.sending?.cancel();
    if (!guest.sending) this.#hangUp(guest, 'user');
  }

  /** The page goes: the guests needn't wait for a time-out. */
  close(): void {
    for (const guest of this.guests.values()) {
      const { link } = guest;
      if (!link) continue;
      this.#tell(guest, link, 'lost');
      link.close('gone', true);
    }
  }

  #guest(peer: string): HostGuest {
    let guest = this.guests.get(peer);
    if (guest) return guest;
    guest = new HostGuest(peer, ++this.#count);
    this.guests.set(peer, guest);
    if (this.guests.size > maxGuests) {
      const idle = [...this.guests.values()].find((one) => one !== guest && !one.linked && !one.seated);
      if (idle) this.guests.delete(idle.peer);
    }
    return guest;
  }

  async #connect(guest: HostGuest): Promise<void> {
    const { session, peer, secret, signaling, changed, files } = this.options;
    const key = typeof secret === 'function' ? secret(guest.peer) : secret;
    if (!key) throw new Error('there is no key for this guest');
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    guest.connecting = true;
    guest.linkEnd = undefined;
    guest.sending = undefined;
    guest.began = false;
    changed();
    const connection = await this.options.connect();
    guest.connecting = false;
    const link: Link = new Link(
      {
        role: 'host',
        number: ++guest.links,
        session,
        secret: key,
        hostPeer: peer,
        guestPeer: guest.peer,
        connection,
        signal: (data) => signaling.send(guest.peer, data),
        relay: () => signaling.relay(guest.peer, guest.links, bytes),
        relays: guest.relays,
        interrupted: () => signaling.check(),
      },
      {
        changed: () => this.#linkChanged(guest, link),
        control: (message) => guest.sending?.onControl(message),
        data: () => guest.sending?.onData(),
      },
    );
    guest.link = link;
    changed();
  }

  #linkChanged(guest: HostGuest, link: Link): void {
    if (guest.link !== link) return;
    if (link.phase === 'ready' && !guest.sending) {
      const { files, sha256 } = this.options;
      guest.sending = new Sending(link, files, sha256, () => this.#sendingChanged(guest));
      guest.sending.offer();
    }
    if (link.phase === 'closed') {
      guest.linkEnd = link.end;
      guest.link = undefined;
      if (link.end !== 'gone') this.#tell(guest, link, link.end === 'unverified' ? 'unverified' : 'lost');
      guest.sending?.lost();
    }
    this.options.changed();
  }

  #sendingChanged(guest: HostGuest): void {
    if (guest.phase === 'accepted') {
      guest.began = true;
      this.#queue.push(guest);
    }
    if (guest.phase === 'done') guest.served = true;
    if (guest.ending) {
      if (guest.ending.by === 'me' && isReason(guest.ending.cause)) this.#hangUp(guest, guest.ending.cause);
      else guest.link?.close();
    }
    this.#admit();
    this.options.changed();
  }

  /** One transfer at a time, in the order of the accepts; those beyond the seats are told so. */
  #admit(): void {
    this.#queue = this.#queue.filter((guest) => guest.phase === 'accepted' || guest.phase === 'queued');
    const all = [...this.guests.values()];
    let taken = all.filter((guest) => guest.seated && guest.phase !== 'queued').length;
    let ahead = all.filter((guest) => guest.active).length;
    for (const guest of [...this.#queue]) {
      if (taken++ >= this.options.seats) guest.sending?.refuse();
      else if (ahead === 0) guest.sending?.start();
      else if (guest.phase === 'accepted' || guest.ahead !== ahead) {
        guest.ahead = ahead;
        guest.sending?.queue(ahead);
      }
      ahead++;
    }
  }

  #cancelled(guest: HostGuest, link: Link, reason: Reason | LinkReason): void {
    if (isReason(reason)) {
      guest.sending?.cancelled(reason);
      link.close();
    } else {
      link.ended(reason);
    }
  }

  #hangUp(guest: HostGuest, reason: Reason): void {
    const { link } = guest;
    if (!link) return;
    this.#tell(guest, link, reason);
    link.close();
  }

  #tell(guest: HostGuest, link: Link, reason: Reason | LinkReason): void {
    this.options.signaling.send(guest.peer, { type: 'cancel', link: link.number, reason });
  }
}
