/** Where a session's signaling is. Regions are code of their own (regions.ts), loaded only where there are some. */
import { isRecord } from './protocol';

export interface Region {
  name: string;
  /** Origin of the API. */
  url: string;
}

/** What a place is made of: the peer's own id, the session's regions, home first, and which server let it in. */
export interface Seat {
  peer: string;
  regions: readonly Region[];
  server: string;
}

export interface Place {
  /** Before the paths of the API. */
  readonly base: string;
  /** There is somewhere else to go. */
  readonly several: boolean;
  /** A connection is about to be tried. */
  trying(): void;
  /** It could not be made. */
  failed(): void;
  /** The network is back, so what failed before says nothing. */
  renewed(): void;
  /** It is made; `move` is called to make another, at another base. */
  up(move: () => void): void;
  down(): void;
  /** Others were asked to say that they are here. */
  asked(): void;
  /** Somebody is here. */
  met(peer: string): void;
}

/** Finds servers for requests that begin a session, and a place for what follows. */
export interface Finder {
  create<T>(ask: (server: string) => Promise<T>): Promise<T>;
  join<T>(invite: string, ask: (server: string) => Promise<T>): Promise<T>;
  /** `seeks`: it looks for the others; a transfer's host is looked for. */
  place(seat: Seat, seeks: boolean): Place;
}

const nothing = (): void => {};

/** The page's own server, for ever. */
export const ownPlace: Place = { base: '', several: false, trying: nothing, failed: nothing, renewed: nothing, up: nothing, down: nothing, asked: nothing, met: nothing };

const ownServer: Finder = { create: (ask) => ask(''), join: (_, ask) => ask(''), place: () => ownPlace };

/** Decodes a list of regions; what is none has none. */
export function parseRegions(value: unknown): Region[] {
  if (!Array.isArray(value) || value.length > 15) return [];
  const ok = (one: unknown): one is Region => isRecord(one) && typeof one.name === 'string' && typeof one.url === 'string' && /^https?:\/\/[^/?#\s]+$/.test(one.url);
  return value.every(ok) ? value.map(({ name, url }) => ({ name, url })) : [];
}

/** Reads the list that comes with the pages. */
export async function findRegions(): Promise<Finder> {
  const answer: unknown = await fetch('/regions.json')
    .then((response) => response.json())
    .catch(nothing);
  const list = parseRegions(isRecord(answer) && answer.regions);
  return list.length > 0 ? (await import('./regions')).finder(list) : ownServer;
}
