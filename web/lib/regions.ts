/**
 * Regions (docs/protocol.md §3.1): complete deployments that can each serve any session. All peers of a session connect to its
 * home; where that can't be reached, each of them moves to the next in the session's order, and so they meet again. Nobody
 * decides that for all: a `RegionPlace` looks at its own connection only. What keeps them together:
 *
 *   failed    no connection for some seconds: on to the next region, after the last to the home
 *   seeking   who hears from nobody looks into the other regions, a few rounds long; a transfer's host stays where it is
 *   homeward  away from home, everybody asks whether that is back, and returns when it has answered twice
 */
import { ApiError } from './patient';
import type { Finder, Place, Region, Seat } from './place';

/** How long a connection is tried for, at least, before another region is. */
export const failAfterMs = 4000;
/** How long somebody who hears from nobody stays in a region; at home as often longer as there are regions. */
export const seekEveryMs = 10_000;
export const seekRounds = 3;
/** How often the home is asked whether it is back, and how often it must say so in a row. */
export const homeEveryMs = 30_000;
export const homeAnswers = 2;
/** Doublings of that, one for each return. */
const homeDoublings = 4;
const answerWithinMs = 4000;

async function ping(url: string): Promise<void> {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), answerWithinMs);
  try {
    const response = await fetch(url, { signal: end.signal, cache: 'no-store' });
    if (!response.ok) throw new ApiError('unreachable', 'the server does not answer', response.status);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a region answers. */
export function answers({ url }: Region): Promise<boolean> {
  return ping(`${url}/api/regions`).then(() => true, () => false);
}

/** Another region may do what this error is about. */
function elsewhere(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 'unreachable' || error.status >= 500);
}

async function inTurn<T>(regions: readonly Region[], ask: (server: string) => Promise<T>): Promise<T> {
  let last: unknown;
  for (const { url } of regions) {
    try {
      return await ask(url);
    } catch (error) {
      if (!elsewhere(error)) throw error;
      last = error;
    }
  }
  throw last;
}

/** Asks the region that answers first, or the others if that fails then; the page's own server if there are no regions. */
export async function askFirst<T>(regions: readonly Region[], ask: (server: string) => Promise<T>): Promise<T> {
  if (regions.length < 2) return ask(regions[0]?.url ?? '');
  const found = await Promise.any(
    regions.map(async (region) => {
      if (!(await answers(region))) throw new Error('no answer');
      return region;
    }),
  ).catch(() => regions[0]!);
  return inTurn([found, ...regions.filter((region) => region !== found)], ask);
}

/** The place of an invite's home among the regions: the upper half of its first byte, from 1. */
export function homeOf(invite: string, regions: readonly Region[]): number {
  const home = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(invite[0] ?? '') >> 2;
  return home >= 1 && home <= regions.length ? home - 1 : 0;
}

/** Asks the home of an invite, then the alternatives in their order. */
export async function askHome<T>(regions: readonly Region[], invite: string, ask: (server: string) => Promise<T>): Promise<T> {
  if (regions.length === 0) return ask('');
  const home = homeOf(invite, regions);
  return inTurn([...regions.slice(home), ...regions.slice(0, home)], ask);
}

/** What the pages find their way by. */
export function finder(regions: readonly Region[]): Finder {
  return {
    create: (ask) => askFirst(regions, ask),
    join: (invite, ask) => askHome(regions, invite, ask),
    place: (seat, seeks) => new RegionPlace(seat, seeks),
  };
}

export class RegionPlace implements Place {
  #at: number;
  #since: number | undefined;
  #rounds = 0;
  #returns = 0;
  #move: () => void = () => {};
  #seek: ReturnType<typeof setTimeout> | undefined;
  #homeward: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly seat: Seat,
    private readonly seeks: boolean,
    private readonly probe: (region: Region) => Promise<boolean> = answers,
  ) {
    this.#at = Math.max(0, seat.regions.findIndex(({ url }) => url === seat.server));
  }

  get base(): string {
    return this.seat.regions[this.#at]?.url ?? this.seat.server;
  }

  get several(): boolean {
    return this.seat.regions.length > 1;
  }

  trying(): void {
    this.#since ??= performance.now();
  }

  failed(): void {
    if (!this.several || this.#since === undefined || performance.now() - this.#since < failAfterMs) return;
    if (globalThis.navigator?.onLine === false) return; // nothing is to be reached
    this.#go(this.#at + 1);
  }

  renewed(): void {
    if (this.several) this.#go(0);
  }

  up(move: () => void): void {
    this.#since = undefined;
    this.#move = move;
    if (this.several && this.#at !== 0) this.#askHomeSoon(0);
  }

  down(): void {
    this.#still();
  }

  asked(): void {
    if (!this.several || !this.seeks || this.#seek !== undefined || this.#rounds >= seekRounds) return;
    const { length } = this.seat.regions;
    this.#seek = setTimeout(() => {
      if (this.#at === length - 1) this.#rounds++;
      this.#shift(this.#at + 1);
    }, seekEveryMs * (this.#at === 0 ? length : 1));
  }

  met(peer: string): void {
    if (peer === this.seat.peer) return;
    this.#rounds = 0;
    clearTimeout(this.#seek);
    this.#seek = undefined;
  }

  #askHomeSoon(answered: number): void {
    const timer = setTimeout(async () => {
      const back = await this.probe(this.seat.regions[0]!);
      if (this.#homeward !== timer) return;
      const times = back ? answered + 1 : 0;
      if (times < homeAnswers) return this.#askHomeSoon(times);
      this.#returns++;
      this.#shift(0);
    }, homeEveryMs * 2 ** Math.min(this.#returns, homeDoublings));
    this.#homeward = timer;
  }

  #shift(to: number): void {
    this.#go(to);
    this.#move();
  }

  #go(to: number): void {
    this.#still();
    this.#since = undefined;
    this.#at = to % this.seat.regions.length;
  }

  #still(): void {
    clearTimeout(this.#seek);
    clearTimeout(this.#homeward);
    this.#seek = this.#homeward = undefined;
  }
}
