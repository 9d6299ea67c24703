import { expect, test } from 'vitest';
import type { Item } from './messages';
import { Inbox, Outbox, isStreamId, keptAtMost, resentAtOnce, type Numbered } from './stream';

const text = (n: number): Item => ({ type: 'text', text: `line ${n}`, at: n });
const numberOf = (item: Item): number => (item.type === 'text' ? item.at : 0);

/** A generator that gives the same numbers in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/** Loses, doubles and delays. */
class Wire<T> {
  #held: T[] = [];

  constructor(private readonly next: () => number) {}

  send(one: T): void {
    if (this.next() < 0.3) return;
    this.#held.push(one);
    if (this.next() < 0.2) this.#held.push(one);
  }

  /** Some of what is under way, in any order. */
  deliver(): T[] {
    const out: T[] = [];
    while (this.#held.length > 0 && this.next() < 0.7) out.push(...this.#held.splice(Math.floor(this.next() * this.#held.length), 1));
    return out;
  }
}

test.each(Array.from({ length: 20 }, (_, i) => i + 1))('over a wire that loses, doubles and reorders, all arrive once and in order; both pages are loaded again (seed %i)', (seed) => {
  const next = random(seed * 7919);
  const [there, back] = [new Wire<[string, Numbered]>(next), new Wire<{ stream: string; n: number }>(next)];
  let outbox = new Outbox();
  let inbox = new Inbox();
  const got: number[] = [];
  const settled: number[] = [];
  let said = 0;
  let now = 0;
  for (let round = 0; round < 3000 && settled.length < 150; round++) {
    now += 500;
    if (said < 150 && next() < 0.5) {
      const { numbered, dropped } = outbox.add(++said, text(said), now);
      expect(dropped).toEqual([]);
      there.send([outbox.stream, numbered]);
    }
    for (const numbered of outbox.again(now)) there.send([outbox.stream, numbered]);
    for (const [stream, numbered] of there.deliver()) {
      const { items, missed } = inbox.take(stream, numbered);
      expect(missed).toBe(0);
      got.push(...items.map(numberOf));
      back.send(inbox.acknowledged!);
    }
    for (const { stream, n } of back.deliver()) settled.push(...outbox.acknowledged(stream, n, now));
    if (round % 50 === 20) outbox = new Outbox(JSON.parse(JSON.stringify(outbox.save())) as ReturnType<Outbox['save']>);
    if (round % 50 === 40) inbox = new Inbox(JSON.parse(JSON.stringify(inbox.save())) as ReturnType<Inbox['save']>);
  }
  const all = Array.from({ length: 150 }, (_, i) => i + 1);
  expect(got).toEqual(all);
  expect(settled).toEqual(all);
  expect(outbox.waiting).toBe(0);
});

test('what is kept for one that is away is bounded; it knows how much it has missed', () => {
  const outbox = new Outbox();
  const inbox = new Inbox();
  inbox.take(outbox.stream, outbox.add(1, text(1), 0).numbered);
  const dropped: number[] = [];
  for (let n = 2; n <= keptAtMost + 11; n++) dropped.push(...outbox.add(n, text(n), 0).dropped);
  expect(dropped).toEqual(Array.from({ length: 11 }, (_, i) => i + 1));
  expect(outbox.waiting).toBe(keptAtMost);
  const first = outbox.again(1e6);
  expect(first.length).toBe(resentAtOnce);
  const { items, missed } = inbox.take(outbox.stream, first[0]!);
  expect(items.map(numberOf)).toEqual([12]);
  expect(missed).toBe(10);
});

test('what came early is given out when the sender has dropped what is before it', () => {
  const inbox = new Inbox();
  const take = (n: number, base: number) => inbox.take('AAAAAAAAAAA', { n, base, item: text(n) });
  take(1, 1);
  take(5, 1);
  take(7, 1);
  const { items, missed } = take(9, 8);
  expect(items.map(numberOf)).toEqual([5, 7]);
  expect(missed).toBe(4); // 2, 3, 4 and 6
  expect(take(8, 8).items.map(numberOf)).toEqual([8, 9]);
});

test('a stream begins where its sender begins; another one says that something is missing', () => {
  const inbox = new Inbox();
  expect(inbox.acknowledged).toBeUndefined();
  expect(inbox.take('AAAAAAAAAAA', { n: 42, base: 42, item: text(42) })).toEqual({ items: [text(42)], missed: 0 });
  expect(inbox.take('BBBBBBBBBBB', { n: 1, base: 1, item: text(1) })).toEqual({ items: [text(1)], missed: NaN });
  expect(inbox.acknowledged).toEqual({ stream: 'BBBBBBBBBBB', n: 1 });
});

test('what comes early is held, but not without bound', () => {
  const inbox = new Inbox();
  inbox.take('AAAAAAAAAAA', { n: 1, base: 1, item: text(1) });
  for (let n = 3; n < 1000; n++) inbox.take('AAAAAAAAAAA', { n, base: 1, item: text(n) });
  expect(inbox.take('AAAAAAAAAAA', { n: 2, base: 1, item: text(2) }).items.length).toBe(65);
});

test('an acknowledgement of what was not sent, or of another stream, changes nothing', () => {
  const outbox = new Outbox();
  outbox.add(1, text(1), 0);
  for (const [stream, n] of [[outbox.stream, 2], [outbox.stream, 0], [outbox.stream, 2 ** 53 - 1], ['AAAAAAAAAAA', 1]] as const) {
    expect(outbox.acknowledged(stream, n, 0)).toEqual([]);
  }
  expect(outbox.waiting).toBe(1);
  expect(outbox.acknowledged(outbox.stream, 1, 0)).toEqual([1]);
});

test('it is sent again after longer and longer times, and at once by a new way', () => {
  const outbox = new Outbox();
  outbox.add(1, text(1), 0);
  const times: number[] = [];
  for (let now = 0; now < 60_000; now += 100) if (outbox.again(now).length > 0) times.push(now);
  expect(times).toEqual([2000, 6000, 14_000, 29_000, 44_000, 59_000]);
  expect(outbox.again(60_000, true).length).toBe(1);
});

test('ids of streams', () => {
  expect(isStreamId(new Outbox().stream)).toBe(true);
  for (const bad of ['', 'short', 'AAAAAAAAAA=', 7, undefined]) expect(isStreamId(bad)).toBe(false);
});
