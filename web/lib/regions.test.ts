import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError } from './patient';
import { parseRegions, type Region } from './place';
import { RegionPlace, askFirst, askHome, failAfterMs, homeEveryMs, homeOf, seekEveryMs, seekRounds } from './regions';

const eu: Region = { name: 'eu', url: 'https://eu.example.org' };
const na: Region = { name: 'na', url: 'https://na.example.org' };
const both = [eu, na];
const gone = () => new ApiError('unreachable', '');

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test.each([undefined, {}, [{ name: 'eu' }], [{ name: 'eu', url: 'javascript:1' }], [{ name: 'eu', url: 'https://eu.example.org/path' }], Array(16).fill(eu)])('%j is no list', (value) => {
  expect(parseRegions(value)).toEqual([]);
});

test('the home of an invite is the upper half of its first byte', () => {
  expect(parseRegions([{ ...eu, more: 1 }, na])).toEqual(both);
  // 0x01, 0x02: no region is said; 0x11, 0x22: the first and the second; 0x31: more than there are.
  const first = (byte: number) => Buffer.from([byte, 0, 0]).toString('base64url');
  expect([0x01, 0x02, 0x11, 0x22, 0x31].map((byte) => homeOf(first(byte), both))).toEqual([0, 0, 0, 1, 0]);
});

test('a link goes to its home first, and on only where that may help', async () => {
  const asked: string[] = [];
  const home = 'I'; // 0x2.
  const ask = (errors: Record<string, Error>) => (server: string) => {
    asked.push(server);
    return errors[server] ? Promise.reject(errors[server]) : Promise.resolve(server);
  };
  expect(await askHome([], home, ask({}))).toBe('');
  expect(await askHome(both, home, ask({}))).toBe(na.url);
  expect(await askHome(both, home, ask({ [na.url]: gone() }))).toBe(eu.url);
  expect(await askHome(both, home, ask({ [na.url]: new ApiError('internal', '', 502) }))).toBe(eu.url);
  await expect(askHome(both, home, ask({ [na.url]: new ApiError('expired_link', '', 410) }))).rejects.toThrow(ApiError);
  await expect(askHome(both, home, ask({ [na.url]: gone(), [eu.url]: gone() }))).rejects.toMatchObject({ code: 'unreachable' });
  expect(asked).toEqual(['', na.url, na.url, eu.url, na.url, eu.url, na.url, na.url, eu.url]);
});

test('a session is made where an answer comes first, or elsewhere', async () => {
  let first = na;
  vi.stubGlobal('fetch', async (url: string) => {
    if (!url.startsWith(first.url)) await new Promise((resolve) => setTimeout(resolve, 500));
    return { ok: true };
  });
  const ask = async (server: string) => server;
  const made = async (then: (server: string) => Promise<string> = ask) => {
    const answer = askFirst(both, then);
    await vi.advanceTimersByTimeAsync(1000);
    return answer;
  };
  expect(await made()).toBe(na.url);
  first = eu;
  expect(await made()).toBe(eu.url);
  expect(await made((server) => (server === eu.url ? Promise.reject(gone()) : ask(server)))).toBe(na.url);
  expect(await askFirst([], ask)).toBe('');
  const fetched = vi.fn();
  vi.stubGlobal('fetch', fetched);
  expect(await askFirst([eu], ask)).toBe(eu.url);
  expect(fetched).not.toHaveBeenCalled(); // alone, it knows no regions, and would say so
});

/** A peer whose connections the test makes; `dead` are regions that don't answer it. */
class Peer {
  readonly place: RegionPlace;
  readonly dead = new Set<string>();
  moves = 0;
  up = false;

  constructor(id: string, seeks: boolean, regions: readonly Region[] = both, server = regions[0]?.url ?? '') {
    this.place = new RegionPlace({ peer: id, regions, server }, seeks, (region) => Promise.resolve(!this.dead.has(region.url)));
  }

  /** As HubSignaling does it: tries four times a second. */
  live(): void {
    setInterval(() => {
      const reached = !this.dead.has(this.place.base);
      if (this.up && !reached) {
        this.up = false;
        this.place.down();
      }
      if (this.up) return;
      this.place.trying();
      if (!reached) return this.place.failed();
      this.up = true;
      this.place.up(() => {
        this.moves++;
        this.up = false;
        this.place.down();
      });
    }, 250);
  }
}

/** A second's worth of hellos, between all that are up at the same place. */
function meet(peers: Peer[]): void {
  for (const one of peers) {
    if (!one.up) continue;
    one.place.asked();
    for (const other of peers) if (other !== one && other.up && other.place.base === one.place.base) one.place.met(peers.indexOf(other) + 'x');
  }
}

async function pass(peers: Peer[], ms: number): Promise<void> {
  for (let t = 0; t < ms; t += 1000) {
    await vi.advanceTimersByTimeAsync(1000);
    meet(peers);
  }
}

const where = (peers: Peer[]) => peers.map(({ place }) => place.base);

describe('places', () => {
  test('without regions, or with one, nothing ever moves', async () => {
    for (const peer of [new Peer('a', true, []), new Peer('a', true, [eu])]) {
      peer.live();
      const base = peer.place.base;
      peer.dead.add(base);
      await pass([peer], 200_000);
      peer.dead.clear();
      await pass([peer], 200_000);
      expect([peer.place.base, peer.moves, peer.place.several]).toEqual([base, 0, false]);
    }
  });

  test('all move on together when the home dies, and back when it lives again', async () => {
    const peers = [new Peer('host', false), new Peer('g1', true), new Peer('g2', true)];
    for (const peer of peers) peer.live();
    await pass(peers, 60_000);
    expect(where(peers)).toEqual([eu.url, eu.url, eu.url]);
    for (const peer of peers) peer.dead.add(eu.url);
    await pass(peers, failAfterMs + 2000);
    expect(where(peers)).toEqual([na.url, na.url, na.url]);
    await pass(peers, 300_000);
    expect(where(peers)).toEqual([na.url, na.url, na.url]);
    for (const peer of peers) peer.dead.clear();
    await pass(peers, 3 * homeEveryMs);
    expect(where(peers)).toEqual([eu.url, eu.url, eu.url]);
    await pass(peers, 300_000);
    expect(peers.map(({ moves }) => moves)).toEqual([1, 1, 1]);
  });

  test('a short interruption is none', async () => {
    const peer = new Peer('a', true);
    peer.live();
    await pass([peer], 1000);
    peer.dead.add(eu.url);
    await pass([peer], failAfterMs - 2000);
    peer.dead.clear();
    await pass([peer], 1000);
    expect(where([peer])).toEqual([eu.url]);
  });

  test('a guest finds the host that only knows another way', async () => {
    const [host, guest] = [new Peer('host', false), new Peer('guest', true)];
    host.dead.add(eu.url);
    host.live();
    guest.live();
    await pass([host, guest], 2 * seekEveryMs + 3000);
    expect(where([host, guest])).toEqual([na.url, na.url]);
  });

  test('two members that are apart meet, wherever in their rounds they are', async () => {
    for (let lag = 0; lag < 3 * seekEveryMs; lag += 3000) {
      const [a, b] = [new Peer('a', true), new Peer('b', true, both, na.url)];
      a.live();
      await pass([a], lag);
      b.live();
      let met = false;
      for (let s = 0; s < 90 && !met; s++) {
        await pass([a, b], 1000);
        met = a.up && b.up && a.place.base === b.place.base;
      }
      expect(met, `after ${lag} ms`).toBe(true);
      vi.clearAllTimers();
    }
  });

  test('who stays alone looks around a few times, and rests at home', async () => {
    const peer = new Peer('a', true);
    peer.live();
    await pass([peer], 10 * 60_000);
    expect([peer.place.base, peer.moves]).toEqual([eu.url, 2 * seekRounds]);
    peer.place.met('a'); // its own hello comes back to it
    await pass([peer], 60_000);
    expect(peer.moves).toBe(2 * seekRounds);
    peer.place.met('b');
    await pass([peer], 60_000);
    expect(peer.moves).toBeGreaterThan(2 * seekRounds);
  });

  test('a home that answers and lets nobody in is asked less and less', async () => {
    const peer = new Peer('host', false);
    peer.live();
    await pass([peer], 1000);
    peer.dead.add(eu.url);
    const broken = new RegionPlace({ peer: 'host', regions: both, server: na.url }, false, () => Promise.resolve(true));
    let moves = 0;
    broken.up(() => moves++);
    await vi.advanceTimersByTimeAsync(2 * homeEveryMs);
    expect([moves, broken.base]).toEqual([1, eu.url]);
    broken.trying();
    await vi.advanceTimersByTimeAsync(failAfterMs);
    broken.failed();
    expect(broken.base).toBe(na.url);
    broken.up(() => moves++);
    await vi.advanceTimersByTimeAsync(2 * homeEveryMs);
    expect(moves).toBe(1);
    await vi.advanceTimersByTimeAsync(2 * homeEveryMs);
    expect(moves).toBe(2);
  });

  test('without a network nobody wanders, and with it everybody begins at home', async () => {
    const peer = new Peer('a', true);
    vi.stubGlobal('navigator', { onLine: false });
    peer.place.trying();
    await vi.advanceTimersByTimeAsync(60_000);
    peer.place.failed();
    expect(peer.place.base).toBe(eu.url);
    vi.stubGlobal('navigator', { onLine: true });
    peer.place.failed();
    expect(peer.place.base).toBe(na.url);
    peer.place.renewed();
    expect(peer.place.base).toBe(eu.url);
  });
});
