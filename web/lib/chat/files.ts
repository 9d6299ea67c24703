/**
 * Files in a room: the transfer engine of Causeway Send (host.ts, guest.ts), once for each offer. Whoever offers a file is the
 * host of a session of its own, whoever takes it a guest, with a link of their own beside the one they talk over. What the
 * two say to find each other is sealed; descriptions and candidates go by the server, as everywhere, and their fingerprints are
 * bound to both members' keys. The page loads this file when there is something to send or to take.
 */
import { bestSha256, randomBytes } from '../crypto';
import { GuestSession } from '../guest';
import { HostSession } from '../host';
import type { Path } from '../path';
import type { SourceFile } from '../sending';
import type { SignalData, Signaling } from '../signaling';
import type { Sink } from '../sink';
import type { Ending } from '../transfer';
import type { Member } from './member';
import { maxFileId, type FileWord } from './messages';
import { fileLinks, type Room, type RoomFiles } from './room';

const offersAtMost = 50;

/** What this member offers. */
export interface Offer {
  id: number;
  host: HostSession;
}

/** What this member takes. */
export interface Taking {
  id: number;
  peer: string;
  guest: GuestSession;
  /** until it is handed on */
  sink: Sink | undefined;
  /** by this member, before anything was received */
  cancelled: boolean;
}

export type TakingStage = 'connecting' | 'away' | 'waiting' | 'running' | 'done' | 'unverified' | 'ended';

/** A taking as the page shows it. */
export interface TakingView {
  stage: TakingStage;
  bytes: number;
  path: () => Promise<Path | undefined>;
  ending: Ending | undefined;
  failure: unknown;
}

export interface FilesOptions {
  room: Room;
  connect(): Promise<RTCPeerConnection>;
  changed(): void;
  failed(error: unknown): void;
}

/** The number of a file's link on the wire: both ends count its links from 1. */
const onWire = (id: number, link: number): number => id * fileLinks + link;

export class Files implements RoomFiles {
  readonly offers = new Map<number, Offer>();
  /** by sender and id */
  readonly takings = new Map<string, Taking>();

  constructor(private readonly options: FilesOptions) {
    options.room.files = this;
  }

  /** Offers a file to everybody who is there. False: there are too many offers already. */
  offer(file: SourceFile): boolean {
    const { room, changed, failed } = this.options;
    if (this.offers.size >= offersAtMost) return false;
    const id = this.#freeId();
    const host = new HostSession({
      session: room.sealer.session,
      peer: room.sealer.peer,
      secret: (peer) => room.members.get(peer)?.pair?.linkSecret,
      seats: Infinity,
      files: [file],
      sha256: bestSha256(),
      signaling: this.#signaling(id),
      connect: this.options.connect,
      changed,
      failed,
    });
    this.offers.set(id, { id, host });
    room.publish({ type: 'file', id, name: file.name, size: file.size, at: Date.now() });
    return true;
  }

  withdraw(id: number): void {
    const offer = this.offers.get(id);
    if (!offer) return;
    this.offers.delete(id);
    for (const guest of offer.host.guests.values()) offer.host.cancel(guest);
    this.options.room.withdraw(id);
  }

  /** Takes what `peer` offers into the sink. */
  take(peer: string, id: number, expected: { name: string; size: number }, sink: Sink): void {
    const { room, changed, connect, failed } = this.options;
    const secret = room.members.get(peer)?.pair?.linkSecret;
    if (!secret) return void sink.abort();
    const taking: Taking = {
      id,
      peer,
      sink,
      cancelled: false,
      guest: new GuestSession({
        session: room.sealer.session,
        peer: room.sealer.peer,
        secret,
        sha256: bestSha256(),
        signaling: this.#signaling(id, peer),
        connect,
        changed: () => {
          this.#accept(taking, expected);
          changed();
        },
        failed,
      }),
    };
    this.takings.get(`${peer} ${id}`)?.guest.close();
    this.takings.set(`${peer} ${id}`, taking);
    taking.guest.connected();
  }

  cancel(peer: string, id: number): void {
    const taking = this.takings.get(`${peer} ${id}`);
    if (!taking) return;
    void taking.sink?.abort();
    taking.sink = undefined;
    if (taking.guest.receiving) return taking.guest.cancel();
    taking.cancelled = true;
    taking.guest.close();
    this.options.changed();
  }

  view(peer: string, id: number): TakingView | undefined {
    const taking = this.takings.get(`${peer} ${id}`);
    if (!taking) return undefined;
    const { guest } = taking;
    const { receiving } = guest;
    const cancelled: Ending | undefined = taking.cancelled ? { by: 'me', cause: 'user' } : undefined;
    return {
      stage: stageOf(guest),
      bytes: receiving?.written ?? 0,
      path: () => guest.link?.path() ?? Promise.resolve(undefined),
      ending: receiving?.ending ?? cancelled,
      failure: receiving?.failure,
    };
  }

  /** Something runs: the page asks before it goes. */
  get running(): boolean {
    const sending = [...this.offers.values()].some(({ host }) => [...host.guests.values()].some((guest) => guest.active));
    return sending || [...this.takings.values()].some(({ guest }) => guest.receiving?.phase === 'running' || guest.receiving?.phase === 'closing');
  }

  close(): void {
    for (const { host } of this.offers.values()) host.close();
    for (const { guest } of this.takings.values()) guest.close();
  }

  // What the room passes on.

  word(member: Member, id: number, word: FileWord): void {
    const { peer } = member;
    const offer = this.offers.get(id);
    const taking = this.takings.get(`${peer} ${id}`);
    if (word.type === 'want') {
      if (offer) offer.host.hello(peer, 'guest');
      return;
    }
    if (offer) offer.host.signal(peer, 'guest', 0, word);
    else taking?.guest.signal(peer, 'host', 0, word);
  }

  signal(from: string, n: number, data: SignalData): void {
    if (!('link' in data)) return;
    const id = Math.floor(data.link / fileLinks);
    const own = { ...data, link: data.link % fileLinks };
    const offer = this.offers.get(id);
    if (offer) offer.host.signal(from, 'guest', n, own);
    else this.takings.get(`${from} ${id}`)?.guest.signal(from, 'host', n, own);
  }

  relay(from: string, link: number, servers: RTCIceServer[]): void {
    const id = Math.floor(link / fileLinks);
    const offer = this.offers.get(id);
    if (offer) offer.host.relay(from, link % fileLinks, servers);
    else this.takings.get(`${from} ${id}`)?.guest.relay(from, link % fileLinks, servers);
  }

  restart(from: string, servers: RTCIceServer[]): void {
    for (const { host } of this.offers.values()) host.restart(from, servers);
    for (const { peer, guest } of this.takings.values()) if (peer === from) guest.restart(from, servers);
  }

  signalingBack(): void {
    for (const { host } of this.offers.values()) host.connected();
    for (const { guest } of this.takings.values()) guest.connected();
  }

  /** Asks for the file as soon as its link is there, if it is the one that was offered. */
  #accept(taking: Taking, expected: { name: string; size: number }): void {
    const { receiving } = taking.guest;
    if (receiving?.phase !== 'offered' || !taking.sink) return;
    const [file, ...more] = receiving.files;
    const { sink } = taking;
    taking.sink = undefined;
    if (file?.name === expected.name && file.size === expected.size && more.length === 0) return taking.guest.accept(sink);
    void sink.abort();
    receiving.cancel('protocol');
  }

  #freeId(): number {
    for (;;) {
      const id = new DataView(randomBytes(4).buffer).getUint32(0) % maxFileId;
      if (id > 0 && !this.offers.has(id)) return id;
    }
  }

  /** What a session says, on its way: `host` is whom a guest says hello to. */
  #signaling(id: number, host?: string): Signaling {
    const { room } = this.options;
    const word = (to: string, data: FileWord) => void room.members.get(to)?.send({ type: 'file', id, data });
    return {
      hello: () => {
        if (host !== undefined) word(host, { type: 'want' });
      },
      send: (to, data) => {
        if (data.type === 'description' || data.type === 'candidate') room.signaling.send(to, { ...data, link: onWire(id, data.link) });
        else word(to, data);
      },
      relay: (to, link, bytes) => room.signaling.relay(to, onWire(id, link), bytes),
      check: () => room.signaling.check(),
    };
  }
}

function stageOf({ stage, receiving }: GuestSession): TakingStage {
  if (stage === 'unverified') return 'unverified';
  if (receiving?.phase === 'done') return 'done';
  if (stage === 'ended') return 'ended';
  if (stage === 'away') return 'away';
  if (receiving?.phase === 'running' || receiving?.phase === 'closing') return 'running';
  return receiving ? 'waiting' : 'connecting';
}
