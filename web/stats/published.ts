/** What GET /api/stats answers: counts rounded up to `step`, times in RFC 3339 (UTC). */
export interface Period {
  from: string;
  sessions: number;
  done: number;
  direct: number;
  relay: number;
  /** The share of sessions that worked, in percent; missing where too few pages have reported. */
  worked?: number;
}

export interface Total {
  sessions: number;
  joins: number;
  messages: number;
  offered: number;
  done: number;
  relayBytes: number;
  bytes: Record<string, number>;
  bytesBySize: Record<string, number>;
  paths: Record<string, number>;
  seconds: Record<string, number>;
  sizes: Record<string, number>;
  failed: Record<string, number>;
  refusals: Record<string, number>;
  worked?: number;
}

export interface Published {
  updated: string;
  since?: string;
  step: number;
  days: Period[];
  hours: Period[];
  /** Sessions by the hour of the day, UTC. */
  byHour: number[];
  total: Total;
}

/** The server keeps no statistics. */
export class StatsOff extends Error {}

/** Asks a server, or the page's own, for the statistics; undefined if nothing has changed since `etag`. */
export async function fetchStats(etag: string, server = ''): Promise<{ etag: string; published: Published } | undefined> {
  const response = await fetch(`${server}/api/stats`, { headers: etag ? { 'If-None-Match': etag } : {}, cache: 'no-store' });
  if (response.status === 304) return undefined;
  if (response.status === 404) throw new StatsOff();
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return { etag: response.headers.get('ETag') ?? '', published: (await response.json()) as Published };
}
