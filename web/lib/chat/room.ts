/**
 * A room as one of its members sees it: who is there, what was said, and how far it has come (docs/protocol.md §6). No DOM, no
 * clock of its own: the page calls `tick` about once a second.
 *
 * Bounds: members beyond `seats`, this one among them, are not answered; those that are away are remembered for half an hour, 32
 * in all; the last 500 entries are kept, and for a member that is away 500 items.
 */
import { toBase64Url, type Bytes } from '../bytes';
import type { PeerRole, SignalData, SignalError } from '../signaling';
import type { Mark } from './mark';
import { markOf } from './mark';
import { Member, type MemberRoom, type SavedMember } from './member';
import { cleanText, type FileWord, type Item } from './messages';
import { Sealer, type Identity } from './seal';
import type { RoomHandler, RoomSignaling } from './signaling';

export const entriesAtMost = 500;
export const forgottenAfterMs = 30 * 60_000;
const membersAtMost = 32;
const pinsAtMost = 128;
const savedEntries = 200;
export const typingEveryMs = 3000;
const linkEpoch = Date.UTC(2020, 0, 1);
/** Numbers of links from here on belong to files. */
export const fileLinks = 2 ** 32;

export interface FileOffer {
  id: number;
  name: string;
  size: number;
  /** It can't be had any more. */
  over: boolean;
}

/** One line of the log. */
export interface Entry {
  key: number;
  kind: 'text' | 'file' | 'note' | 'warning';
  /** of who said it; '' is this member */
  peer: string;
  name: string;
  mark: Mark | undefined;
  text: string;
  /** Unix milliseconds, by the sender's clock, but not later than now */
  at: number;
  file: FileOffer | undefined;
  /** Of what this member said: who has it, who doesn't yet, and whether it has left this page. */
  got: string[];
  waiting: string[];
  sent: boolean;
}

/** `alone`: nobody was there; `delivered`: all who are present have it. */
export type Delivery = 'alone' | 'waiting' | 'sent' | 'delivered';

/** What takes part in files; there once there is one. */
export interface RoomFiles {
  word(member: Member, id: number, word: FileWord): void;
  signal(from: string, n: number, data: SignalData): void;
  relay(from: string, link: number, servers: RTCIceServer[]): void;
  restart(from: string, servers: RTCIceServer[]): void;
  signalingBack(): void;
}

export interface RoomOptions {
  session: string;
  peer: string;
  secret: Bytes;
  identity: Identity;
  name: string;
  seats: number;
  connect: (() => Promise<RTCPeerConnection>) | undefined;
  /** Something that the page shows has changed. */
  changed(): void;
  /** Somebody else has said something. */
  heard(entry: Entry): void;
  refused(error: SignalError): void;
  /** See SignalHandler.budget. */
  budget(state: 'warning' | 'spent'): void;
  failed(error: unknown): void;
  saved?: SavedRoom | undefined;
}

export interface SavedRoom {
  entries: Entry[];
  pins: [string, string][];
  members: SavedMember[];
}

export class Room implements RoomHandler, MemberRoom {
  readonly sealer: Sealer;
  readonly mark: Mark;
  readonly name: string;
  readonly connect: (() => Promise<RTCPeerConnection>) | undefined;
  readonly numbersFrom = Math.floor((Date.now() - linkEpoch) / 1000) % (fileLinks / 2);
  readonly members = new Map<string, Member>();
  signaling!: RoomSignaling;
  files: RoomFiles | undefined;
  online = false;
  /** The log; replaced as a whole, so that a page sees it change. */
  entries: readonly Entry[] = [];
  #nextKey = 1;
  #pins = new Map<string, string>();
  #typed = 0;

  constructor(private readonly options: RoomOptions) {
    this.sealer = new Sealer(options.secret, options.session, options.peer, options.identity);
    this.mark = markOf(options.identity.publicKey);
    this.name = options.name;
    this.connect = options.connect;
    if (options.saved) this.#restore(options.saved);
  }

  /** Those who are or were there, as the page lists them. */
  get others(): Member[] {
    return [...this.members.values()].filter((member) => member.state !== 'meeting');
  }

  get present(): Member[] {
    return this.others.filter((member) => member.state === 'present');
  }

  say(text: string): boolean {
    const clean = cleanText(text);
    if (clean === '') return false;
    this.#typed = 0;
    this.publish({ type: 'text', text: clean, at: Date.now() });
    return true;
  }

  /** Sends an item to everybody, and shows it. */
  publish(item: Item): Entry | undefined {
    const entry = this.#entryOf(item, undefined);
    const key = entry?.key ?? 0;
    for (const member of this.others) {
      const { sent, dropped } = member.say(key, item);
      if (entry) {
        entry.waiting.push(member.peer);
        entry.sent ||= sent;
      }
      for (const one of dropped) this.#settle(one, member.peer, false);
    }
    if (entry) this.#append(entry);
    this.options.changed();
    return entry;
  }

  /** The user is writing. */
  typing(): void {
    if (Date.now() - this.#typed < typingEveryMs) return;
    this.#typed = Date.now();
    for (const member of this.present) member.send({ type: 'typing' });
  }

  delivery(entry: Entry): Delivery {
    if (entry.got.length === 0 && entry.waiting.length === 0) return 'alone';
    const missing = entry.waiting.some((peer) => this.members.get(peer)?.state === 'present');
    if (entry.got.length > 0 && !missing) return 'delivered';
    return entry.sent ? 'sent' : 'waiting';
  }

  tick(now = Date.now()): void {
    for (const member of this.members.values()) {
      member.tick(now);
      if (member.silent) this.members.delete(member.peer);
      if (member.state === 'away' && now - member.since >= forgottenAfterMs) this.#forget(member, `${member.name} is gone.`);
    }
  }

  /** For good: the others needn't wait. */
  leave(): void {
    for (const member of this.others) member.bye();
  }

  /** The page goes, perhaps to be loaded again. */
  close(now = false): void {
    for (const member of this.members.values()) member.close(now);
  }

  save(): SavedRoom {
    const entries = this.entries.slice(-savedEntries);
    const members = [...this.members.values()].flatMap((member) => member.save() ?? []);
    return { entries, pins: [...this.#pins], members };
  }

  // What the signaling connection tells.

  connected(): void {
    this.online = true;
    this.signaling.hello();
    for (const member of this.members.values()) {
      member.greet();
      member.link?.signalingBack();
    }
    this.files?.signalingBack();
    this.options.changed();
  }

  disconnected(): void {
    this.online = false;
    this.options.changed();
  }

  hello(from: string, role: PeerRole): void {
    if (role === 'member') this.#member(from)?.greet();
  }

  sealed(from: string, frame: Bytes): void {
    // A stranger's frame is worth a place in the table only if it shows that it has the link.
    const member = this.members.get(from) ?? (this.sealer.openIntro(from, frame) && this.#member(from));
    member?.frame(frame);
  }

  signal(from: string, role: PeerRole, n: number, data: SignalData): void {
    if (role !== 'member' || !('link' in data)) return;
    if (data.link >= fileLinks) this.files?.signal(from, n, data);
    else this.members.get(from)?.signal(n, data);
  }

  left(from: string, role: PeerRole): void {
    if (role === 'member') this.members.get(from)?.left();
  }

  relay(from: string, link: number, servers: RTCIceServer[]): void {
    if (link >= fileLinks) this.files?.relay(from, link, servers);
    else this.members.get(from)?.link?.relay(link, servers);
  }

  restart(from: string, servers: RTCIceServer[]): void {
    this.members.get(from)?.link?.restart(servers);
    this.files?.restart(from, servers);
  }

  budget(state: 'warning' | 'spent'): void {
    this.options.budget(state);
  }

  refused(error: SignalError): void {
    this.options.refused(error);
  }

  // What members tell.

  pinned(peer: string): string | undefined {
    return this.#pins.get(peer);
  }

  met(member: Member, before: Mark | undefined): void {
    const known = this.#pins.has(member.peer);
    this.#pins.set(member.peer, toBase64Url(member.publicKey!));
    if (this.#pins.size > pinsAtMost) this.#pins.delete(this.#pins.keys().next().value!);
    if (before) {
      const was = before.words === member.mark!.words ? 'another key' : `the key ${before.words}`;
      this.#note('warning', member, `The key of ${member.name} has changed: it was ${was}, and is ${member.mark!.words} now. Ask by another way whether this is still who you think.`);
    } else if (!known) {
      this.#note('note', member, `${member.name} is here.`);
    }
    this.options.changed();
  }

  changed(): void {
    this.options.changed();
  }

  items(member: Member, items: Item[], missed: number): void {
    if (missed !== 0) {
      const what = Number.isNaN(missed) ? 'What' : missed === 1 ? 'One message that' : `${missed} messages that`;
      const is = missed > 1 ? 'are' : 'is';
      this.#note('warning', member, `${what} ${member.name} has said while you were away ${is} missing here.`);
    }
    for (const item of items) {
      if (item.type === 'unfile') this.#endFile(member.peer, item.id);
      const entry = this.#entryOf(item, member);
      if (!entry) continue;
      this.#append(entry);
      this.options.heard(entry);
    }
    this.options.changed();
  }

  delivered(member: Member, keys: number[]): void {
    for (const key of keys) this.#settle(key, member.peer, true);
    this.options.changed();
  }

  file(member: Member, id: number, word: FileWord): void {
    this.files?.word(member, id, word);
  }

  garbled(member: Member): void {
    this.#note('warning', member, `Messages arrive in the name of ${member.name} that were changed on their way. They are thrown away. Whoever runs the server, or sits before it, may be tampering.`);
    this.options.changed();
  }

  bye(member: Member): void {
    this.#forget(member, `${member.name} has left.`);
  }

  failed(error: unknown): void {
    this.options.failed(error);
  }

  /** A file of this peer can't be had any more. */
  #endFile(peer: string, id: number): void {
    this.entries = this.entries.map((entry) =>
      entry.peer === peer && entry.file?.id === id ? { ...entry, file: { ...entry.file, over: true } } : entry,
    );
  }

  /** This member's own offer has ended. */
  withdraw(id: number): void {
    this.publish({ type: 'unfile', id });
    this.#endFile('', id);
    this.options.changed();
  }

  #member(peer: string): Member | undefined {
    const known = this.members.get(peer);
    if (known || peer === this.options.peer || this.present.length + 1 >= this.options.seats) return known;
    if (this.members.size >= membersAtMost) {
      // Those of whom nothing is known go first, then who is away for longest.
      const all = [...this.members.values()];
      const oldest = all.find((one) => one.state === 'meeting') ?? all.filter((one) => one.state === 'away').sort((a, b) => a.since - b.since)[0];
      if (!oldest) return undefined;
      if (oldest.state === 'meeting') this.members.delete(oldest.peer);
      else this.#forget(oldest, `${oldest.name} is gone.`);
    }
    const member = new Member(peer, this);
    this.members.set(peer, member);
    return member;
  }

  #forget(member: Member, text: string): void {
    this.members.delete(member.peer);
    member.close();
    for (const entry of this.entries) {
      if (entry.peer === member.peer && entry.file && !entry.file.over) this.#endFile(member.peer, entry.file.id);
      if (entry.waiting.includes(member.peer)) this.#settle(entry.key, member.peer, false);
    }
    this.#note('note', member, text);
    this.options.changed();
  }

  /** A member has an entry, or won't get it. */
  #settle(key: number, peer: string, got: boolean): void {
    this.entries = this.entries.map((entry) =>
      entry.key === key ? { ...entry, waiting: entry.waiting.filter((one) => one !== peer), got: got ? [...entry.got, peer] : entry.got, sent: entry.sent || got } : entry,
    );
  }

  #entryOf(item: Item, member: Member | undefined): Entry | undefined {
    if (item.type === 'unfile') return undefined;
    const entry = this.#entry(item.type, member, item.type === 'text' ? item.text : '');
    entry.at = Math.min(item.at, Date.now());
    if (item.type === 'file') entry.file = { id: item.id, name: item.name, size: item.size, over: false };
    return entry;
  }

  #entry(kind: Entry['kind'], member: Member | undefined, text: string): Entry {
    return {
      key: this.#nextKey++,
      kind,
      peer: member?.peer ?? '',
      name: member?.name ?? this.name,
      mark: member ? member.mark : this.mark,
      text,
      at: Date.now(),
      file: undefined,
      got: [],
      waiting: [],
      sent: false,
    };
  }

  #note(kind: 'note' | 'warning', member: Member, text: string): void {
    this.#append(this.#entry(kind, member, text));
  }

  #append(entry: Entry): void {
    this.entries = [...this.entries, entry].slice(-entriesAtMost);
  }

  #restore({ entries, pins, members }: SavedRoom): void {
    // A file of this page is read from this page: it went with it.
    this.entries = entries.map((entry) => (entry.peer === '' && entry.file ? { ...entry, file: { ...entry.file, over: true } } : entry));
    this.#nextKey = Math.max(0, ...entries.map((entry) => entry.key)) + 1;
    this.#pins = new Map(pins);
    for (const member of members.slice(0, membersAtMost)) this.members.set(member.peer, new Member(member.peer, this, member));
  }
}
