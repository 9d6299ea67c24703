import { expect, test } from 'vitest';
import type { Period, Published } from './published';
import { availability, connectSeconds, filled, hoursOfDay, paths, share, sizeBytes, summary, usage } from './series';

const period = (from: string, more: Partial<Period> = {}): Period => ({ from, sessions: 10, done: 0, direct: 0, relay: 0, ...more });

const published: Published = {
  updated: '2026-11-30T12:34:56Z',
  step: 10,
  days: [period('2026-11-27T00:00:00Z', { direct: 30, relay: 10, worked: 99.5 }), period('2026-11-30T00:00:00Z', { sessions: 40 })],
  hours: [period('2026-11-30T10:00:00Z'), period('2026-11-30T12:00:00Z')],
  byHour: Array.from({ length: 24 }, (_, i) => i * 10),
  total: {
    sessions: 50, joins: 50, messages: 100, offered: 20, done: 10, relayBytes: 0, bytes: {}, bytesBySize: {}, paths: {}, sizes: {}, failed: {}, refusals: {},
    seconds: { '1': 30, '2': 0, more: 10 },
  },
};

test('days and hours without counts have their place', () => {
  expect(filled(published, 'days').map((p) => p.sessions)).toEqual([10, 0, 0, 40]);
  expect(filled(published, 'hours').map((p) => p.from.slice(11, 13))).toEqual(['10', '11', '12']);
  expect(filled({ ...published, days: [] }, 'days')).toEqual([]);
});

test('an unknown share is not drawn as nothing', () => {
  expect(availability(published, 'days').series[0]!.values).toEqual([99.5, null, null, null]);
});

test('series', () => {
  expect(usage(published, 'days').series.map((s) => s.values)).toEqual([[10, 0, 0, 40], [0, 0, 0, 0]]);
  expect(paths(published, 'days').series.map((s) => s.values[0])).toEqual([30, 10]);
  expect(hoursOfDay(published).names.at(-1)).toBe('23:00');
  expect(connectSeconds(published).series[0]!.values).toEqual([30, 0, 0, 0, 0, 10]);
});

test('bytes have the unit that the most of them want', () => {
  const of = (bytesBySize: Record<string, number>) => sizeBytes({ ...published, total: { ...published.total, bytesBySize } }).series[0]!;
  expect(of({})).toMatchObject({ label: 'MB', values: [0, 0, 0, 0, 0, 0] });
  expect(of({ '1mb': 1e6, '10mb': 9_999e6 })).toMatchObject({ label: 'MB', values: [1, 9999, 0, 0, 0, 0] });
  expect(of({ '1mb': 1e6, '1gb': 12_345e6 })).toMatchObject({ label: 'GB', values: [0, 0, 0, 12.3, 0, 0] });
  expect(of({ more: 2e13 })).toMatchObject({ label: 'TB', values: [0, 0, 0, 0, 0, 20] });
});

test('shares and summaries', () => {
  expect([share(30, 10), share(0, 10), share(0, 0), share()]).toEqual([75, 0, undefined, undefined]);
  expect(summary(hoursOfDay(published))).toBe('Sessions: most at 23:00, 230; last 230.');
  expect(summary({ names: [], ticks: [], series: [{ label: 'Sessions', values: [], colour: 'accent' }] })).toBe('Sessions: none yet.');
});
