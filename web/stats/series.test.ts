import { expect, test } from 'vitest';
import type { Period, Published } from './published';
import { availability, connectSeconds, filled, hoursOfDay, paths, share, summary, usage } from './series';

const period = (from: string, more: Partial<Period> = {}): Period => ({ from, sessions: 10, done: 0, direct: 0, relay: 0, ...more });

const published: Published = {
  updated: '2026-11-30T12:34:56Z',
  step: 10,
  days: [period('2026-11-27T00:00:00Z', { direct: 30, relay: 10, worked: 99.5 }), period('2026-11-30T00:00:00Z', { sessions: 40 })],
  hours: [period('2026-11-30T10:00:00Z'), period('2026-11-30T12:00:00Z')],
  byHour: Array.from({ length: 24 }, (_, i) => i * 10),
  total: {
    sessions: 50, joins: 50, messages: 100, offered: 20, done: 10, relayBytes: 0, bytes: {}, paths: {}, sizes: {}, failed: {}, refusals: {},
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

test('shares and summaries', () => {
  expect([share(30, 10), share(0, 10), share(0, 0), share()]).toEqual([75, 0, undefined, undefined]);
  expect(summary(hoursOfDay(published))).toBe('Sessions: most at 23:00, 230; last 230.');
  expect(summary({ names: [], ticks: [], series: [{ label: 'Sessions', values: [], colour: 'accent' }] })).toBe('Sessions: none yet.');
});
