/** What /metrics of a server says. */
import { until } from './conditions.mjs';

/** A counter, by its name and labels; undefined if there is none. */
export async function metric(server, name) {
  const text = await (await fetch(`${server.origin}/metrics`)).text();
  const line = text.split('\n').find((l) => l.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

export const counted = (server, name, want) => until(`${name} is ${want}`, async () => (await metric(server, name)) === want);

/** The reports that a page has sent. */
export function reports(peer) {
  return peer.requests.filter(({ url }) => url.endsWith('/api/report'));
}
