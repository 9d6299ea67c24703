import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { toBase64Url, utf8, type Bytes } from '../bytes';
import type { SignalData } from '../signaling';
import { Network } from '../testing/peers';
import { awayAfterMs } from './member';
import { identityOf } from './seal';
import { Room, entriesAtMost, forgottenAfterMs, type SavedRoom } from './room';

/** The server: it relays, and may lose, double, hold or change what it relays. */
class Server {
  rooms = new Map<string, Room>();
  up = true;
  /** The chances that a sealed message is lost, and doubled. */
  loss = 0;
  double = 0;
  log: { from: string; to: string; frame: Bytes }[] = [];
  tamper: (frame: Bytes) => Bytes = (frame) => frame;
  #state = 12345;

  random(): number {
    return (this.#state = (this.#state * 48271) % 2147483647) / 2147483647;
  }

  #later(to: string, then: (room: Room) => void): void {
    if (!this.up) return;
    setTimeout(() => {
      const room = this.rooms.get(to);
      if (room?.online) then(room);
    }, 1 + this.random() * 40);
  }

  join(peer: string, room: Room): void {
    let n = 0;
    room.signaling = {
      hello: () => {
        for (const to of this.rooms.keys()) this.#later(to, (other) => other.hello(peer, 'member'));
      },
      send: (to, data) => {
        const number = ++n;
        this.#later(to, (other) => other.signal(peer, 'member', number, data));
      },
      relay: () => {},
      check: () => {},
      sealed: (to, frame) => {
        this.log.push({ from: peer, to, frame });
        for (let copies = this.random() < this.loss ? 0 : this.random() < this.double ? 2 : 1; copies > 0; copies--) {
          const sent = this.tamper(frame.slice());
          this.#later(to, (other) => other.sealed(peer, sent));
        }
      },
    };
    this.rooms.set(peer, room);
    if (this.up) room.connected();
  }

  leave(peer: string): void {
    this.rooms.get(peer)?.close(true);
    this.rooms.delete(peer);
    for (const to of this.rooms.keys()) this.#later(to, (other) => other.left(peer, 'member'));
  }

  down(): void {
    this.up = false;
    for (const room of this.rooms.values()) room.disconnected();
  }

  back(): void {
    this.up = true;
    for (const room of this.rooms.values()) room.connected();
  }
}

const secret = utf8('0123456789abcdef');
const peerOf = (name: string): string => name.padEnd(11, 'A').slice(0, 11);
let server: Server;
let network: Network;
let failures: unknown[];
const seeds = new Map<string, Bytes>();

function seedOf(name: string): Bytes {
  const seed = seeds.get(name) ?? new Uint8Array(32).fill(seeds.size + 1);
  seeds.set(name, seed);
  return seed;
}

function enter(name: string, over: { direct?: boolean; saved?: SavedRoom; peer?: string; seed?: Bytes; secret?: Bytes; seats?: number } = {}): Room {
  const room = new Room({
    session: 'session',
    peer: over.peer ?? peerOf(name),
    secret: over.secret ?? secret,
    identity: identityOf(over.seed ?? seedOf(name)),
    name,
    seats: over.seats ?? 12,
    connect: over.direct ? async () => network.create() : undefined,
    changed: () => {},
    heard: () => {},
    refused: () => {},
    budget: () => {},
    failed: (error) => failures.push(error),
    saved: over.saved,
  });
  server.join(over.peer ?? peerOf(name), room);
  return room;
}

/** Time passes for all pages. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    await vi.advanceTimersByTimeAsync(Math.min(left, 1000));
    for (const room of server.rooms.values()) room.tick();
  }
}

const texts = (room: Room, from?: string): string[] => room.entries.filter((e) => e.kind === 'text' && (from === undefined || e.peer === from)).map((e) => e.text);
const notes = (room: Room): string[] => room.entries.filter((e) => e.kind === 'note' || e.kind === 'warning').map((e) => e.text);
/** What this member has said last. */
const last = (room: Room) => room.entries.filter((e) => e.kind === 'text' && e.peer === '').at(-1)!;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 30) });
  server = new Server();
  network = new Network();
  failures = [];
});
afterEach(() => {
  for (const room of server.rooms.values()) room.close(true);
  vi.useRealTimers();
  expect(failures).toEqual([]);
});

test.each([false, true])('members meet, talk, and see how far it has come (direct: %s)', async (direct) => {
  const [ada, bob] = [enter('ada', { direct }), enter('bob', { direct })];
  await pass(3000);
  expect(ada.members.get(peerOf('bob'))!.link?.ready ?? false).toBe(direct);
  ada.say('hello');
  expect(ada.delivery(last(ada))).toBe('sent');
  await pass(1000);
  expect(texts(bob)).toEqual(['hello']);
  expect(ada.delivery(last(ada))).toBe('delivered');
  const carol = enter('carol', { direct });
  await pass(3000);
  carol.typing();
  await pass(200);
  expect(ada.members.get(peerOf('carol'))!.typing).toBe(true);
  carol.say('me too');
  await pass(1000);
  expect([texts(ada), texts(bob), texts(carol)]).toEqual([['hello', 'me too'], ['hello', 'me too'], ['me too']]);
  expect(ada.members.get(peerOf('carol'))!.typing).toBe(false);
  carol.leave();
  await pass(200);
  expect(notes(ada)).toEqual(['bob is here.', 'carol is here.', 'carol has left.']);
});

test('a goodbye arrives even when the end of the link overtakes it', async () => {
  const [ada, bob] = [enter('ada', { direct: true }), enter('bob', { direct: true })];
  await pass(3000);
  expect(bob.members.get(peerOf('ada'))!.link?.ready).toBe(true);
  network.latencyMs = 500;
  bob.leave();
  bob.close();
  server.leave(peerOf('bob'));
  await pass(2000);
  expect(notes(ada)).toEqual(['bob is here.', 'bob has left.']);
});

test.each([1, 2])('through a server that loses, doubles, dies and comes back: nothing is lost or doubled (%i)', async (round) => {
  server.loss = 0.3;
  server.double = 0.3;
  for (let i = 0; i < round; i++) server.random();
  const rooms = ['ada', 'bob', 'carol'].map((name) => enter(name));
  await pass(30_000);
  for (const room of rooms) expect(room.present.length).toBe(2);
  for (let i = 0; i < 18; i++) {
    rooms[i % 3]!.say(`line ${i}`);
    if (i === 4 || i === 11) server.down();
    if (i === 7 || i === 15) server.back();
    await pass(700);
  }
  await pass(90_000);
  for (const [at, room] of rooms.entries()) {
    for (const [from, name] of ['ada', 'bob', 'carol'].entries()) {
      const want = Array.from({ length: 6 }, (_, i) => `line ${i * 3 + from}`);
      expect(texts(room, at === from ? '' : peerOf(name)), `${name} at ${at}`).toEqual(want);
    }
    expect(room.delivery(last(room))).toBe('delivered');
    expect(notes(room).length, 'no warnings').toBe(2);
  }
});

test('a page that is loaded again is the same member, and misses nothing that was said meanwhile', async () => {
  const ada = enter('ada');
  let bob = enter('bob');
  await pass(3000);
  bob.say('before');
  await pass(1000);
  server.loss = 1;
  bob.say('unheard');
  await pass(200);
  const saved = JSON.parse(JSON.stringify(bob.save())) as SavedRoom;
  server.leave(peerOf('bob'));
  server.loss = 0;
  await pass(500);
  expect(ada.others[0]!.state).toBe('away');
  ada.say('meanwhile');
  expect(ada.delivery(last(ada))).not.toBe('delivered');
  bob = enter('bob', { saved });
  bob.say('at once');
  await pass(5000);
  expect(texts(ada)).toEqual(['before', 'meanwhile', 'unheard', 'at once']);
  expect(texts(bob)).toEqual(['before', 'unheard', 'at once', 'meanwhile']);
  expect(notes(ada)).toEqual(['bob is here.']);
  expect(ada.delivery(last(ada))).toBe('delivered');
});

test('another key under a known peer id is told, and gets nothing that was meant for the former', async () => {
  const ada = enter('ada');
  enter('bob');
  await pass(3000);
  server.leave(peerOf('bob'));
  await pass(500);
  ada.say('for bob only');
  const eve = enter('bob', { peer: peerOf('bob'), seed: new Uint8Array(32).fill(99) });
  await pass(10_000);
  expect(notes(ada).at(-1)).toMatch(/^The key of bob has changed/);
  expect(texts(eve)).toEqual([]);
  ada.say('hello, whoever');
  await pass(3000);
  expect(texts(eve)).toEqual(['hello, whoever']);
});

test('who has another secret is nobody', async () => {
  const ada = enter('ada');
  enter('eve', { secret: utf8('0123456789abcdeX') });
  await pass(90_000);
  expect(ada.others).toEqual([]);
  expect(ada.members.size).toBe(0);
});

test('replays, of this visit and of an earlier one, change nothing', async () => {
  const ada = enter('ada');
  const bob = enter('bob');
  await pass(3000);
  ada.say('transfer 100 to Carol');
  await pass(1000);
  const recorded = server.log.filter(({ to }) => to === peerOf('bob')).map(({ frame }) => frame);
  for (const frame of recorded) bob.sealed(peerOf('ada'), frame);
  await pass(2000);
  expect(texts(bob)).toEqual(['transfer 100 to Carol']);
  server.leave(peerOf('bob'));
  await pass(100);
  const again = enter('bob'); // with no memory at all
  for (const frame of recorded) again.sealed(peerOf('ada'), frame);
  await pass(3000);
  for (const frame of recorded) again.sealed(peerOf('ada'), frame);
  await pass(2000);
  expect(texts(again)).toEqual([]);
  const carol = enter('carol');
  for (const frame of recorded) carol.sealed(peerOf('ada'), frame);
  await pass(2000);
  expect(texts(carol)).toEqual([]);
});

test('a server that changes frames is noticed, and nothing changed is shown', async () => {
  const ada = enter('ada');
  const bob = enter('bob');
  await pass(8000);
  server.tamper = (frame) => {
    if (frame[0] === 2) frame[frame.length - 20]! ^= 1;
    return frame;
  };
  ada.say('hello');
  await pass(20_000);
  expect(texts(bob)).toEqual([]);
  expect(ada.delivery(last(ada))).toBe('sent');
  expect(notes(bob).filter((text) => /changed on their way/.test(text)).length).toBe(1);
  server.tamper = (frame) => frame;
  await pass(30_000);
  expect(texts(bob)).toEqual(['hello']);
});

test.each([0, 1])('what is said at once may overtake the proof of who says it (%i)', async (by) => {
  network.controlLate = { by, ms: 300 };
  const rooms = [enter('ada', { direct: true }), enter('bob', { direct: true })];
  const [ada, bob] = rooms as [Room, Room];
  await pass(1000);
  for (const room of rooms) room.say(`from ${room.name}`);
  await pass(3000);
  expect(rooms.map((room) => [room.others[0]?.link?.ready, room.others[0]?.link?.unverified])).toEqual([[true, false], [true, false]]);
  expect([texts(ada, peerOf('bob')), texts(bob, peerOf('ada'))]).toEqual([['from bob'], ['from ada']]);
});

test('a path that is lost before the proofs are through is tried again, and nobody is accused', async () => {
  network.controlLate = { by: 0, ms: 600_000 };
  const rooms = [enter('ada', { direct: true }), enter('bob', { direct: true })];
  await pass(10_000);
  const links = (): unknown[] => rooms.map((room) => [room.others[0]?.link?.ready, room.others[0]?.link?.unverified]);
  expect(links()).toContainEqual([false, false]); // waits for a proof
  await pass(10_000);
  expect(links()).toEqual([[true, false], [true, false]]);
});

test('no path is found, which is known of the link until there is one', async () => {
  network.blocked = true;
  const rooms = [enter('ada', { direct: true }), enter('bob', { direct: true })];
  const unreachable = (): (boolean | undefined)[] => rooms.map((room) => room.others[0]?.link?.unreachable);
  await pass(20_000);
  expect(unreachable()).toEqual([false, false]);
  await pass(15_000);
  expect(unreachable()).toEqual([true, true]);
  network.blocked = false;
  await pass(60_000);
  expect(unreachable()).toEqual([false, false]);
  expect(rooms.map((room) => room.others[0]?.link?.ready)).toEqual([true, true]);
});

test('a server that changes a fingerprint is noticed; sealed messages go on through it', async () => {
  const rooms = [enter('ada', { direct: true }), enter('bob', { direct: true })];
  for (const room of rooms) {
    const { signal } = room;
    room.signal = (from, role, n, data: SignalData) => {
      const forged = data.type === 'description' ? { ...data, description: { ...data.description, sdp: data.description.sdp!.replace(':AB', ':CD') } } : data;
      signal.call(room, from, role, n, forged);
    };
  }
  await pass(20_000);
  const [ada, bob] = rooms as [Room, Room];
  expect(ada.others[0]!.link!.unverified).toBe(true);
  expect(bob.others[0]!.link!.unverified).toBe(true);
  ada.say('still sealed');
  await pass(1000);
  expect(texts(bob)).toEqual(['still sealed']);
});

test('who is silent is away, who comes back is here; after half an hour it is gone', async () => {
  const ada = enter('ada');
  const bob = enter('bob');
  await pass(3000);
  server.rooms.delete(peerOf('bob')); // no word
  await pass(awayAfterMs + 2000);
  expect(ada.others[0]!.state).toBe('away');
  ada.say('are you there?');
  server.rooms.set(peerOf('bob'), bob);
  await pass(30_000);
  expect(ada.others[0]!.state).toBe('present');
  expect(texts(bob)).toEqual(['are you there?']);
  server.rooms.delete(peerOf('bob'));
  await pass(awayAfterMs + forgottenAfterMs + 5000);
  expect(notes(ada).at(-1)).toBe('bob is gone.');
  expect(ada.members.size).toBe(0);
});

test('what nobody hears is told to be so', async () => {
  const ada = enter('ada');
  ada.say('anybody?');
  expect(ada.delivery(last(ada))).toBe('alone');
  expect(ada.say('  \n ')).toBe(false);
});

test('a room holds so many, and a flood of strangers displaces nobody', async () => {
  const ada = enter('ada', { seats: 3 });
  enter('bob');
  await pass(3000);
  for (let i = 0; i < 200; i++) ada.hello(`stranger${String(i).padStart(3, '0')}`, 'member');
  expect(ada.members.size).toBeLessThanOrEqual(32);
  enter('carol');
  await pass(3000);
  expect(ada.present.map((m) => m.name).sort()).toEqual(['bob', 'carol']);
  enter('dora');
  await pass(3000);
  expect(ada.present.length).toBe(2);
});

test('the log is bounded', async () => {
  const ada = enter('ada');
  for (let i = 0; i < entriesAtMost + 50; i++) ada.say(`line ${i}`);
  expect(ada.entries.length).toBe(entriesAtMost);
  expect(toBase64Url(secret).length).toBe(22);
});
