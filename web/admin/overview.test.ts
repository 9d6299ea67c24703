import { expect, test } from 'vitest';
import type { Overview } from './api';
import { figuresOf } from './overview';

const overview = (numbers: Record<string, number>): Overview => ({
  version: 'v',
  started: 0,
  numbers: Object.entries(numbers).map(([name, value]) => ({ name, value })),
  refusals: null,
  budgets: null,
  sessions: null,
  hidden: 0,
  blocks: null,
});

test('gauges as they are, counters as rates, and nothing that the server does not have', () => {
  const before = overview({ 'causeway_relay_bytes_total{to_peer}': 1000 });
  const now = overview({ causeway_relay_allocations: 3, 'causeway_relay_bytes_total{to_peer}': 5000 });
  expect(figuresOf(now, before, 2)).toEqual([
    { label: 'Allocations at the relay', value: 3, unit: 'count' },
    { label: 'Relayed to peers', value: 2000, unit: 'bytes/s' },
  ]);
});

test('no rate without a former overview, after a restart, or in no time', () => {
  const now = overview({ 'causeway_relay_bytes_total{to_peer}': 5000 });
  const rate = (before: Overview | undefined, seconds: number): number => figuresOf(now, before, seconds)[0]!.value;
  expect(rate(undefined, 2)).toBe(0);
  expect(rate(overview({ 'causeway_relay_bytes_total{to_peer}': 9000 }), 2)).toBe(0);
  expect(rate(overview({ 'causeway_relay_bytes_total{to_peer}': 1000 }), 0)).toBe(0);
});
