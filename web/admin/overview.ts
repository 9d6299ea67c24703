/** What the page makes of two overviews in a row. */
import type { Overview } from './api';

export interface Figure {
  label: string;
  /** Of the number, or, for what only grows, of its growth a second. */
  value: number;
  unit: 'count' | 'bytes' | 'bytes/s' | 'per second';
}

const figures: [name: string, label: string, unit: Figure['unit']][] = [
  ['causeway_hub_connections{signaling}', 'Connections of the pages', 'count'],
  ['causeway_hub_connections{realtime}', 'Connections of other applications', 'count'],
  ['causeway_hub_messages_sent_total{signaling}', 'Messages to the pages', 'per second'],
  ['causeway_hub_messages_sent_total{realtime}', 'Messages to other applications', 'per second'],
  ['causeway_grant_pairs', 'Pairs that may use a relay', 'count'],
  ['causeway_relay_allocations', 'Allocations at the relay', 'count'],
  ['causeway_relay_bytes_total{to_peer}', 'Relayed to peers', 'bytes/s'],
  ['causeway_relay_bytes_total{to_client}', 'Relayed to clients', 'bytes/s'],
  ['process_resident_memory_bytes', 'Memory', 'bytes'],
];

/** `seconds` is the time between the two. Without a former one there are no rates yet. */
export function figuresOf(now: Overview, before: Overview | undefined, seconds: number): Figure[] {
  const was = new Map(before?.numbers.map(({ name, value }) => [name, value]));
  const is = new Map(now.numbers.map(({ name, value }) => [name, value]));
  return figures.flatMap(([name, label, unit]): Figure[] => {
    const value = is.get(name);
    if (value === undefined) return [];
    if (unit === 'count' || unit === 'bytes') return [{ label, value, unit }];
    const former = was.get(name);
    // A server that was started again counts from zero.
    const grown = former === undefined || seconds <= 0 ? 0 : Math.max(0, value - former);
    return [{ label, value: grown / Math.max(seconds, 1e-3), unit }];
  });
}
