/**
 * What one member says to another, over wires that lose, repeat and reorder: numbered, kept until it is acknowledged, and given
 * out once and in order (docs/protocol.md §6.4). Both ends are bounded: what is kept too long for one that is away is dropped,
 * and the other end knows how much it has missed. Both can be saved, for a page that is loaded again.
 */
import { toBase64Url } from '../bytes';
import { randomBytes } from '../crypto';
import type { Item } from './messages';

/** What is kept for one member that is away. */
export const keptAtMost = 500;
/** What is sent again at a time. */
export const resentAtOnce = 16;
const heldAtMost = 64;
const firstWaitMs = 2000;
const lastWaitMs = 15_000;

const streamIdSize = 8;

export function isStreamId(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{11}$/.test(value);
}

export interface Numbered {
  n: number;
  /** The first that the sender still has. */
  base: number;
  item: Item;
}

/** An item on its way to one member; `key` is what the sender knows it by. */
interface Kept {
  key: number;
  item: Item;
}

export interface SavedOutbox {
  stream: string;
  base: number;
  kept: Kept[];
}

export class Outbox {
  readonly stream: string;
  /** the number of the first that is kept */
  #base: number;
  #kept: Kept[];
  #wait = firstWaitMs;
  #due = 0;

  constructor(saved?: SavedOutbox) {
    this.stream = saved?.stream ?? toBase64Url(randomBytes(streamIdSize));
    this.#base = saved?.base ?? 1;
    this.#kept = saved?.kept.slice(-keptAtMost) ?? [];
  }

  get waiting(): number {
    return this.#kept.length;
  }

  /** Keeps an item, and returns it with its number; `dropped` are the keys of those that it pushed out. */
  add(key: number, item: Item, now: number): { numbered: Numbered; dropped: number[] } {
    if (this.#kept.length === 0) this.#later(now, true);
    this.#kept.push({ key, item });
    const dropped = this.#kept.splice(0, Math.max(0, this.#kept.length - keptAtMost));
    this.#base += dropped.length;
    const n = this.#base + this.#kept.length - 1;
    return { numbered: { n, base: this.#base, item }, dropped: dropped.map((one) => one.key) };
  }

  /** All up to n have arrived: returns their keys. */
  acknowledged(stream: string, n: number, now: number): number[] {
    const count = n - this.#base + 1;
    if (stream !== this.stream || count <= 0 || count > this.#kept.length) return [];
    this.#base = n + 1;
    const done = this.#kept.splice(0, count).map((one) => one.key);
    this.#later(now, true);
    return done;
  }

  /** What to send again, if it is time, or if there is a new way. */
  again(now: number, atOnce = false): Numbered[] {
    if (this.#kept.length === 0 || (!atOnce && now < this.#due)) return [];
    this.#later(now, atOnce);
    return this.#kept.slice(0, resentAtOnce).map(({ item }, i) => ({ n: this.#base + i, base: this.#base, item }));
  }

  save(): SavedOutbox {
    return { stream: this.stream, base: this.#base, kept: this.#kept };
  }

  #later(now: number, afresh: boolean): void {
    this.#wait = afresh ? firstWaitMs : Math.min(lastWaitMs, this.#wait * 2);
    this.#due = now + this.#wait;
  }
}

export interface SavedInbox {
  stream: string;
  have: number;
}

export class Inbox {
  #stream: string;
  #have: number;
  #early = new Map<number, Item>();

  constructor(saved?: SavedInbox) {
    this.#stream = saved?.stream ?? '';
    this.#have = saved?.have ?? 0;
  }

  /** The number up to which all have come, of which stream. */
  get acknowledged(): { stream: string; n: number } | undefined {
    return this.#stream === '' ? undefined : { stream: this.#stream, n: this.#have };
  }

  /** Takes one; `items` are those whose turn has come, `missed` is how many the sender no longer had, NaN: not known. */
  take(stream: string, { n, base, item }: Numbered): { items: Item[]; missed: number } {
    const items: Item[] = [];
    let missed = 0;
    if (stream !== this.#stream) {
      // The first of all begins where the sender begins; another one means that the sender has forgotten us.
      if (this.#stream !== '') missed = NaN;
      this.#stream = stream;
      this.#have = base - 1;
      this.#early.clear();
    } else if (base - 1 > this.#have) {
      const kept = [...this.#early.keys()].filter((one) => one < base).sort((a, b) => a - b);
      for (const one of kept) items.push(this.#early.get(one)!);
      missed = base - 1 - this.#have - kept.length;
      this.#have = base - 1;
    }
    if (n > this.#have && (this.#early.size < heldAtMost || n === this.#have + 1)) this.#early.set(n, item);
    for (let next = this.#early.get(this.#have + 1); next; next = this.#early.get(this.#have + 1)) {
      this.#have++;
      items.push(next);
    }
    for (const early of this.#early.keys()) if (early <= this.#have) this.#early.delete(early);
    return { items, missed };
  }

  save(): SavedInbox {
    return { stream: this.#stream, have: this.#have };
  }
}
