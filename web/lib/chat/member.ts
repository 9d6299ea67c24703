/**
 * One other member of a room, as this page sees it: introductions, the ways to it, what is on its way in both directions, and
 * whether it is there (docs/protocol.md §6). Its user is the room.
 *
 *   meeting ─ a fresh intro ─▶ present ⇄ away ─▶ forgotten by the room
 *
 * Timers only ask. Answers are given at once, so a page whose timers the browser holds back is not taken for gone.
 */
import { equal, fromBase64Url, toBase64Url, type Bytes } from '../bytes';
import type { SignalData } from '../signaling';
import { markOf, type Mark } from './mark';
import { cleanName, parseBody, type Body, type FileWord, type Item } from './messages';
import { PairLink } from './pair-link';
import { keySize, type Intro, type Pair, type Sealer } from './seal';
import type { RoomSignaling } from './signaling';
import { Inbox, Outbox, type SavedInbox, type SavedOutbox } from './stream';

export const pingAfterMs = 15_000;
export const awayAfterMs = 40_000;
export const typingForMs = 6000;
const introAgainMs = 3000;
const introsAtMost = 20;
const introEveryMs = 400;
const heldAtMost = 64;
const garbledFrom = 3;
const settledAfterMs = 5000;

export type MemberState = 'meeting' | 'present' | 'away';

/** What a member needs of its room. */
export interface MemberRoom {
  readonly sealer: Sealer;
  readonly signaling: RoomSignaling;
  readonly name: string;
  /** The signaling connection is up. */
  readonly online: boolean;
  /** See PairLinkOptions.numbersFrom. */
  readonly numbersFrom: number;
  /** Undefined where the browser has no WebRTC. */
  readonly connect: (() => Promise<RTCPeerConnection>) | undefined;
  /** The public key that this peer had before, if any: base64url. */
  pinned(peer: string): string | undefined;
  /** It is known now, for the first time or after its page was loaded again. */
  met(member: Member, before: Mark | undefined): void;
  changed(): void;
  items(member: Member, items: Item[], missed: number): void;
  delivered(member: Member, keys: number[]): void;
  file(member: Member, id: number, word: FileWord): void;
  /** Frames in its name don't open. */
  garbled(member: Member): void;
  /** It said goodbye. */
  bye(member: Member): void;
  failed(error: unknown): void;
}

export interface SavedMember {
  peer: string;
  name: string;
  publicKey: string;
  outbox: SavedOutbox;
  inbox: SavedInbox;
}

export class Member {
  state: MemberState = 'meeting';
  name = '';
  mark: Mark | undefined;
  publicKey: Bytes | undefined;
  /** When it was heard last, or lost. */
  since = 0;
  link: PairLink | undefined;
  pair: Pair | undefined;
  #typingUntil = 0;
  #epoch: Bytes | undefined;
  #outbox: Outbox;
  #inbox: Inbox;
  #intros = 0;
  #introduced = 0;
  #heard = 0;
  #met = 0;
  #noticed = false;
  #pinged = 0;
  #held: { n: number; data: SignalData }[] = [];

  constructor(
    readonly peer: string,
    private readonly room: MemberRoom,
    saved?: SavedMember,
  ) {
    this.#outbox = new Outbox(saved?.outbox);
    this.#inbox = new Inbox(saved?.inbox);
    const publicKey = fromBase64Url(saved?.publicKey ?? '');
    if (!saved || publicKey?.length !== keySize) return;
    // Known from before this page was loaded again: what is said now is kept for it.
    this.name = saved.name;
    this.publicKey = publicKey;
    this.mark = markOf(publicKey);
    this.state = 'away';
    this.since = Date.now();
  }

  /** Whoever it was, it never said who. */
  get silent(): boolean {
    return this.state === 'meeting' && this.#intros >= introsAtMost;
  }

  get typing(): boolean {
    return this.state === 'present' && Date.now() < this.#typingUntil;
  }

  /** Items that it doesn't have yet. */
  get waiting(): number {
    return this.#outbox.waiting;
  }

  /** There is a way to it at the moment. */
  get reachable(): boolean {
    return this.pair !== undefined && (this.link?.ready === true || this.room.online);
  }

  /** Somebody says that this peer is there: the server, which may be wrong. */
  greet(): void {
    this.#intros = 0;
    this.#introduce();
    if (this.pair) this.resume();
  }

  /** There is a new way: what is not acknowledged goes again, and an answer is asked for. */
  resume(): void {
    this.#again(Date.now(), true);
    this.#ping(Date.now());
  }

  frame(bytes: Bytes): void {
    const intro = this.room.sealer.openIntro(this.peer, bytes);
    if (intro) return this.#onIntro(intro);
    const text = this.pair?.open(bytes);
    const body = parseBody(text);
    if (text !== undefined) this.#listen();
    else this.#notice();
    if (body) this.#onBody(body);
  }

  signal(n: number, data: SignalData): void {
    if (this.link) this.link.signal(n, data);
    else if (this.#held.length < heldAtMost) this.#held.push({ n, data });
  }

  /** Sends an item, now and until it is acknowledged. Returns the keys of those that it pushed out. */
  say(key: number, item: Item): { sent: boolean; dropped: number[] } {
    const { numbered, dropped } = this.#outbox.add(key, item, Date.now());
    return { sent: this.send({ type: 'item', stream: this.#outbox.stream, ...numbered }), dropped };
  }

  /** Sends what may be lost. False: there is no way. */
  send(body: Body): boolean {
    if (!this.pair || !this.reachable) return false;
    const frame = this.pair.seal(JSON.stringify(body));
    if (!this.link?.send(frame)) {
      if (!this.room.online) return false;
      this.room.signaling.sealed(this.peer, frame);
    }
    return true;
  }

  /**
   * This member leaves for good. By every way there is: the end of the link is told by way of the server, and may be there before
   * what is still in the channel, which then nobody reads.
   */
  bye(): void {
    const { online, signaling } = this.room;
    if (this.send({ type: 'bye' }) && this.link?.ready && online) signaling.sealed(this.peer, this.pair!.seal(JSON.stringify({ type: 'bye' })));
  }

  /** The server says that it lost its connection. The channel knows better, if there is one. */
  left(): void {
    if (!this.link?.ready) this.#enter('away');
  }

  tick(now: number): void {
    if (!this.pair) {
      if (this.#intros < introsAtMost && now - this.#introduced >= introAgainMs) this.#introduce();
      return;
    }
    this.#again(now, false);
    if (now - Math.max(this.#heard, this.#pinged) >= pingAfterMs) this.#ping(now);
    if (this.state === 'present' && now - this.#heard >= awayAfterMs) this.#enter('away');
    if (this.#typingUntil !== 0 && now >= this.#typingUntil) {
      this.#typingUntil = 0;
      this.room.changed();
    }
  }

  close(now = false): void {
    this.link?.close(now);
  }

  save(): SavedMember | undefined {
    if (!this.publicKey) return undefined;
    return { peer: this.peer, name: this.name, publicKey: toBase64Url(this.publicKey), outbox: this.#outbox.save(), inbox: this.#inbox.save() };
  }

  #introduce(): void {
    const now = Date.now();
    this.#intros++;
    this.#introduced = now;
    const frame = this.room.sealer.intro(this.peer, this.#epoch, this.pair === undefined, this.room.name);
    if (!this.link?.send(frame)) this.room.signaling.sealed(this.peer, frame);
  }

  #onIntro(intro: Intro): void {
    const known = this.pair !== undefined && this.#epoch !== undefined && equal(intro.epoch, this.#epoch);
    if (!this.room.sealer.isFresh(intro)) {
      // Its page doesn't know ours yet, or this is a replay: an answer costs little, and nothing is believed.
      if (Date.now() - this.#introduced >= introEveryMs || !known) this.#answer(intro, !known);
      return;
    }
    if (!known && !this.#establish(intro)) return;
    if (intro.needs) this.#answer(intro, false);
    if (known) this.#listen();
    else this.resume();
  }

  #answer(intro: Intro, needs: boolean): void {
    this.#introduced = Date.now();
    const frame = this.room.sealer.intro(this.peer, intro.epoch, needs, this.room.name);
    if (!this.link?.send(frame)) this.room.signaling.sealed(this.peer, frame);
  }

  #establish(intro: Intro): boolean {
    const pair = this.room.sealer.pair(this.peer, intro.publicKey, intro.epoch);
    if (!pair) return false;
    const key = toBase64Url(intro.publicKey);
    const before = this.publicKey ? toBase64Url(this.publicKey) : this.room.pinned(this.peer);
    const other = before !== undefined && before !== key;
    const oldMark = this.mark;
    if (other) {
      // Whoever this is, it gets nothing that was meant for the one before.
      this.#outbox = new Outbox();
      this.#inbox = new Inbox();
    }
    this.#epoch = intro.epoch;
    this.publicKey = intro.publicKey;
    this.mark = markOf(intro.publicKey);
    this.name = cleanName(intro.name) || this.mark.words;
    this.link?.close();
    this.pair = pair;
    this.link = this.#makeLink(pair);
    this.#heard = this.#met = Date.now();
    this.room.met(this, other ? (oldMark ?? this.mark) : undefined);
    this.#enter('present');
    for (const { n, data } of this.#held.splice(0)) this.link?.signal(n, data);
    this.link?.want();
    return true;
  }

  #makeLink(pair: Pair): PairLink | undefined {
    const { sealer, signaling, connect, numbersFrom } = this.room;
    if (!connect) return undefined;
    const link: PairLink = new PairLink({
      session: sealer.session,
      me: sealer.peer,
      peer: this.peer,
      secret: pair.linkSecret,
      numbersFrom,
      signaling,
      connect,
      frame: (bytes) => this.frame(bytes),
      changed: () => this.#linkChanged(link),
      failed: (error) => this.room.failed(error),
    });
    return link;
  }

  #linkChanged(link: PairLink): void {
    if (this.link !== link) return;
    if (link.ready) this.resume();
    else if (this.pair) this.#ping(Date.now());
    this.room.changed();
  }

  #onBody(body: Body): void {
    switch (body.type) {
      case 'item': {
        const { items, missed } = this.#inbox.take(body.stream, body);
        const acknowledged = this.#inbox.acknowledged;
        if (acknowledged) this.send({ type: 'ack', ...acknowledged });
        if (items.length > 0) this.#typingUntil = 0;
        if (items.length > 0 || missed !== 0) this.room.items(this, items, missed);
        return;
      }
      case 'ack': {
        const keys = this.#outbox.acknowledged(body.stream, body.n, Date.now());
        if (keys.length > 0) this.room.delivered(this, keys);
        if (keys.length > 0 && this.waiting > 0) this.#again(Date.now(), true);
        return;
      }
      case 'typing':
        this.#typingUntil = Date.now() + typingForMs;
        return this.room.changed();
      case 'ping':
        this.send({ type: 'pong' });
        return;
      case 'pong':
        return;
      case 'bye':
        return this.room.bye(this);
      case 'file':
        return this.room.file(this, body.id, body.data);
    }
  }

  /** It has just proved to be there. */
  #listen(): void {
    this.#heard = Date.now();
    if (this.state === 'present') return;
    this.#enter('present');
    this.link?.want();
    this.#again(Date.now(), true);
  }

  /** What was on its way when one of the two pages was loaded again opens no more; what goes on not to open was changed. */
  #notice(): void {
    if (this.#noticed || !this.pair || this.pair.garbled < garbledFrom || Date.now() - this.#met < settledAfterMs) return;
    this.#noticed = true;
    this.room.garbled(this);
  }

  #ping(now: number): void {
    this.#pinged = now;
    this.send({ type: 'ping' });
  }

  #again(now: number, atOnce: boolean): void {
    if (!this.reachable) return;
    for (const numbered of this.#outbox.again(now, atOnce)) this.send({ type: 'item', stream: this.#outbox.stream, ...numbered });
  }

  #enter(state: MemberState): void {
    if (this.state === state) return;
    if (state === 'away' && !this.pair) return;
    this.state = state;
    this.since = Date.now();
    if (state === 'away') this.link?.unwant();
    this.room.changed();
  }
}
