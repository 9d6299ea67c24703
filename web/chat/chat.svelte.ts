/** The chat page: from a name to a room, and what is shown of it. */
import { ApiError, createSession, joinSession, sendReport, type Membership } from '../lib/api';
import { fromBase64Url, toBase64Url, type Bytes } from '../lib/bytes';
import { cleanName } from '../lib/chat/messages';
import { identityOf } from '../lib/chat/seal';
import { Room, type Delivery, type Entry } from '../lib/chat/room';
import { RoomHub } from '../lib/chat/signaling';
import type { Mark } from '../lib/chat/mark';
import type { Member, MemberState } from '../lib/chat/member';
import { randomBytes } from '../lib/crypto';
import type { Path } from '../lib/path';
import type { Finder } from '../lib/place';
import { MemberReporter } from '../lib/report';
import { Guard, connector, onPage, regions } from '../send/page';
import { describe, problems, relayProblem, type Problem } from '../send/problems.svelte';
import { Ticker } from '../send/ticker';
import { FileShelf } from './files.svelte';
import { forget, recall, remember, type Remembered } from './memory';

const tickMs = 1000;
const pathEveryTicks = 3;
const secretSize = 16;
const seedSize = 32;

/** How a member is reached; `server`: sealed messages by way of it. */
export type Way = Path | 'server' | undefined;

/** One line of the list of members, copied so that the page sees it change. */
export interface MemberRow {
  peer: string;
  name: string;
  mark: Mark;
  state: MemberState;
  typing: boolean;
  way: Way;
  unverified: boolean;
  waiting: number;
}

export interface EntryRow extends Entry {
  delivery: Delivery | undefined;
  /** Names of those present that don't have it yet. */
  missing: string[];
}

/** `unopened`: the link is not complete. */
export type Step = 'enter' | 'joining' | 'room' | 'left' | 'refused';

function parseFragment(hash: string): { invite: string; secret: Bytes } | undefined {
  const match = /^#([\w-]{50})\.([\w-]{22})$/.exec(hash);
  const secret = match && fromBase64Url(match[2]!);
  return secret ? { invite: match[1]!, secret } : undefined;
}

const incomplete: Problem = { title: 'This link is not complete.', text: 'Copy all of it, up to its last character, or ask for it again.' };

/** Words for what the server said about the link. */
function describeLink(error: unknown): Problem {
  const code = error instanceof ApiError ? error.code : '';
  if (code === 'other_kind') return { title: 'This link is for files.', text: 'Open it on the page “Send”: take “chat” out of the address.' };
  if (code === 'removed') return { title: 'This room was ended.', text: 'Whoever runs this server has ended it. Start another chat, and share its link.' };
  if (code === 'room_full') return { title: 'This room is full.', text: 'Try again when somebody has left, or ask for a room of your own.' };
  if (code === 'unknown_link' || code === 'expired_link' || code === 'bad_grant') {
    const { title } = describe(error);
    return { title, text: 'Ask whoever gave it to you for a new one, or start a chat of your own.' };
  }
  return describe(error);
}

export class Chat {
  step = $state<Step>('enter');
  name = $state('');
  link = $state('');
  seats = $state(0);
  mark = $state.raw<Mark | undefined>();
  entries = $state.raw<EntryRow[]>([]);
  members = $state.raw<MemberRow[]>([]);
  online = $state(false);
  unread = $state(0);
  problem = $state<Problem | undefined>();
  /** Of what may be relayed four fifths are used up, or all. */
  limit = $state<'near' | 'spent' | undefined>();
  /** There is a link in the address: join, don't make. */
  readonly invited = location.hash.length > 1;
  readonly files: FileShelf;
  /** This browser can connect directly. */
  readonly direct = typeof RTCPeerConnection === 'function';

  #room: Room | undefined;
  #hub: RoomHub | undefined;
  #remembered: (() => Remembered) | undefined;
  #ways = new Map<string, Way>();
  #ticks = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #ticker = new Ticker(() => this.#update());
  #guard = new Guard();
  #reporter: MemberReporter | undefined;

  constructor() {
    this.files = new FileShelf(this.#ticker.request);
    addEventListener('hashchange', () => {
      if (location.href !== this.link) location.reload();
    });
    document.addEventListener('visibilitychange', () => this.#visible());
    const fragment = parseFragment(location.hash);
    if (this.invited && !fragment) {
      this.problem = incomplete;
      this.step = 'refused';
      return;
    }
    const known = recall(fragment?.invite);
    if (!known || !fragment) return;
    this.step = 'joining';
    regions.then((finder) => this.#open(known, fragment.secret, location.href, finder)).catch(problems.report);
  }

  /** Makes a room, or joins the one of the link. */
  async enter(typed: string): Promise<void> {
    const name = cleanName(typed);
    if (name === '' || this.step !== 'enter') return;
    this.problem = undefined;
    this.step = 'joining';
    try {
      const seed = randomBytes(seedSize);
      const room = { entries: [], pins: [], members: [] };
      const finder = await regions;
      const fragment = parseFragment(location.hash);
      if (fragment) {
        const member = await finder.join(fragment.invite, (server) => joinSession(fragment.invite, 'room', server));
        this.#open({ invite: fragment.invite, member, seed, name, room }, fragment.secret, location.href, finder);
        return;
      }
      const { invite, base, ...member } = await finder.create((server) => createSession('room', server));
      const secret = randomBytes(secretSize);
      const hash = `#${invite}.${toBase64Url(secret)}`;
      // The address is the link, so that loading it again leads here again.
      history.replaceState(null, '', location.pathname + location.search + hash);
      this.#open({ invite, member, seed, name, room }, secret, `${base.replace(/\/+$/, '')}/chat${hash}`, finder);
    } catch (error) {
      this.problem = describeLink(error);
      this.step = 'enter';
    }
  }

  /** Somebody here is reached by way of the relay. */
  get relayed(): boolean {
    return this.members.some(({ way }) => way === 'relay');
  }

  say(text: string): boolean {
    return this.#room?.say(text) ?? false;
  }

  typing(): void {
    this.#room?.typing();
  }

  leave(): void {
    this.#reporter?.leave();
    this.#room?.leave();
    this.step = 'left';
    this.#end();
    forget();
  }

  #open(known: Remembered, secret: Bytes, link: string, finder: Finder): void {
    const { member, seed, name } = known;
    const place = finder.place(member, true);
    const room: Room = new Room({
      session: member.session,
      peer: member.peer,
      secret,
      identity: identityOf(seed),
      name,
      seats: member.seats,
      connect: this.direct ? connector(member.grant, place) : undefined,
      changed: this.#ticker.request,
      heard: (entry) => this.#heard(entry),
      refused: ({ fatal, code }) => this.#refused(fatal, code, member),
      budget: (state) => {
        this.limit = state === 'spent' && this.relayed ? 'spent' : (this.limit ?? 'near');
      },
      failed: this.#failed,
      saved: known.room,
    });
    const hub = new RoomHub(member.grant, room, place);
    room.signaling = hub;
    this.#room = room;
    this.#hub = hub;
    this.#remembered = () => ({ ...known, room: room.save() });
    this.files.open(room, this.direct ? connector(member.grant, place) : undefined, this.#failed);
    this.name = name;
    this.mark = room.mark;
    this.seats = member.seats;
    this.link = link;
    this.step = 'room';
    // A browser without WebRTC tells nothing about paths.
    if (this.direct) this.#reporter = new MemberReporter((report) => sendReport(report, member.grant, place.base));
    onPage(
      () => this.#hide(),
      () => hub.retryNow(),
    );
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#ticker.request();
    hub.run().catch(problems.report);
  }

  /** The page goes, perhaps to be loaded again. */
  #hide(): void {
    this.#reporter?.leave();
    if (this.#remembered) remember(this.#remembered());
    this.files.close();
    this.#room?.close(true);
    void this.#hub?.close();
  }

  #end(): void {
    this.#remembered = undefined;
    clearInterval(this.#timer);
    this.files.close();
    this.#room?.close();
    void this.#hub?.close();
    this.#guard.set(false);
  }

  #visible(): void {
    // Browsers end hidden pages without a word; a visible one is this tab's alone.
    if (!this.#remembered) return;
    if (document.hidden) return remember(this.#remembered());
    this.unread = 0;
    forget();
  }

  #heard(entry: Entry): void {
    if (document.hidden) this.unread++;
    if (entry.kind === 'file') this.files.prepare();
  }

  #refused(fatal: boolean, code: string, member: Membership): void {
    if (code === 'relay_spent') {
      this.limit = 'spent';
    } else if (code.startsWith('relay_') || code === 'sealed_limited') {
      this.problem = relayProblem(code) ?? this.problem;
    } else if (!fatal) {
      this.problem = { title: 'The server refused a message.', text: `It said: ${code}. Load the page again if something is missing.` };
    } else {
      const expired = code === 'bad_grant' && member.expires * 1000 < Date.now();
      this.problem = expired ? { title: 'This room’s time is over.', text: 'Links are good for a while only. Start another chat, and share its link.' } : describeLink(new ApiError(code, ''));
      this.step = 'refused';
      this.#end();
      forget();
    }
  }

  /** A server that doesn't answer is shown already. */
  readonly #failed = (error: unknown): void => {
    if (!(error instanceof ApiError)) problems.report(error);
  };

  #tick(): void {
    const room = this.#room;
    if (!room) return;
    room.tick();
    if (this.#ticks++ % pathEveryTicks === 0) for (const member of room.others) this.#askWay(member);
    if (this.#ticks % 10 === 0) this.#ticker.request();
  }

  #askWay(member: Member): void {
    const ready = member.link?.ready;
    const was = this.#ways.get(member.peer);
    const now = (way: Way) => {
      if (way === was) return;
      this.#ways.set(member.peer, way);
      if (way === 'relay' && this.limit === 'spent') this.limit = 'near'; // there is something again
      this.#ticker.request();
    };
    if (!ready) now(member.state === 'present' ? 'server' : undefined);
    else member.link!.path().then((path) => now(path ?? was), () => {}); // the connection is closing
  }

  /** Copies what the page shows. */
  #update(): boolean {
    const room = this.#room;
    if (!room) return false;
    this.online = room.online;
    this.entries = room.entries.map((entry) => this.#row(room, entry));
    this.members = room.others.map((member) => ({
      peer: member.peer,
      name: member.name,
      mark: member.mark!,
      state: member.state,
      typing: member.typing,
      way: this.#ways.get(member.peer),
      unverified: member.link?.unverified ?? false,
      waiting: member.waiting,
    }));
    this.#guard.set(this.files.running);
    this.#report(room);
    return this.files.update();
  }

  #report({ online, present, others }: Room): void {
    const linked = others.filter(({ link }) => link?.ready);
    const path = linked.map(({ peer }) => this.#ways.get(peer)).find((way) => way === 'direct' || way === 'relay');
    if (!path && this.#reporter) for (const member of linked) this.#askWay(member);
    const trouble = others.some(({ link }) => link?.unverified) ? 'unverified' : present.some(({ link }) => link?.unreachable) ? 'no_path' : undefined;
    this.#reporter?.see({ online, met: present.length > 0, linked: linked.length > 0, path, trouble });
  }

  #row(room: Room, entry: Entry): EntryRow {
    if (entry.peer !== '' || (entry.kind !== 'text' && entry.kind !== 'file')) return { ...entry, delivery: undefined, missing: [] };
    const missing = entry.waiting.flatMap((peer) => {
      const member = room.members.get(peer);
      return member?.state === 'present' ? [member.name] : [];
    });
    return { ...entry, delivery: room.delivery(entry), missing };
  }
}
