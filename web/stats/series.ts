/** From published counts to what the charts draw: every day and hour has its place, also those without counts. */
import type { Period, Published } from './published';

export interface Series {
  label: string;
  values: (number | null)[];
  colour: 'accent' | 'stone';
}

export interface ChartData {
  /** What a place on the x axis is called, in the axis and in the table. */
  ticks: string[];
  names: string[];
  series: Series[];
}

export type Span = 'days' | 'hours';

const hourMs = 3_600_000;
const stepOf: Record<Span, number> = { days: 24 * hourMs, hours: hourMs };

/** The periods of a span with the missing ones filled in, from its first to the current one. */
export function filled(published: Published, span: Span): Period[] {
  const list = published[span];
  const first = list[0];
  if (!first) return [];
  const step = stepOf[span];
  const by = new Map(list.map((one) => [Date.parse(one.from), one]));
  const end = Date.parse(published.updated);
  const all: Period[] = [];
  for (let at = Date.parse(first.from); at <= end; at += step) {
    all.push(by.get(at) ?? { from: new Date(at).toISOString(), sessions: 0, done: 0, direct: 0, relay: 0 });
  }
  return all;
}

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', timeZone: 'UTC' });
const hour = new Intl.DateTimeFormat(undefined, { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone: 'UTC' });

function chart(periods: Period[], span: Span, series: Series[]): ChartData {
  const names = periods.map(({ from }) => (span === 'days' ? day : hour).format(new Date(from)));
  const ticks = span === 'days' ? names : periods.map(({ from }) => from.slice(11, 16));
  return { ticks, names, series };
}

export function usage(published: Published, span: Span): ChartData {
  const periods = filled(published, span);
  return chart(periods, span, [
    { label: 'Sessions', values: periods.map((p) => p.sessions), colour: 'stone' },
    { label: 'Transfers done', values: periods.map((p) => p.done), colour: 'accent' },
  ]);
}

export function paths(published: Published, span: Span): ChartData {
  const periods = filled(published, span);
  return chart(periods, span, [
    { label: 'Direct', values: periods.map((p) => p.direct), colour: 'accent' },
    { label: 'Through the relay', values: periods.map((p) => p.relay), colour: 'stone' },
  ]);
}

export function availability(published: Published, span: Span): ChartData {
  const periods = filled(published, span);
  return chart(periods, span, [{ label: 'Sessions that worked, %', values: periods.map((p) => p.worked ?? null), colour: 'accent' }]);
}

export function hoursOfDay({ byHour }: Published): ChartData {
  const names = byHour.map((_, i) => `${String(i).padStart(2, '0')}:00`);
  return { ticks: names, names, series: [{ label: 'Sessions', values: byHour, colour: 'accent' }] };
}

const secondNames: [bucket: string, tick: string, name: string][] = [
  ['1', '≤ 1 s', 'up to 1 s'],
  ['2', '≤ 2 s', '1 to 2 s'],
  ['5', '≤ 5 s', '2 to 5 s'],
  ['10', '≤ 10 s', '5 to 10 s'],
  ['30', '≤ 30 s', '10 to 30 s'],
  ['more', '> 30 s', 'more than 30 s'],
];

export function connectSeconds({ total }: Published): ChartData {
  return {
    ticks: secondNames.map(([, tick]) => tick),
    names: secondNames.map(([, , name]) => name),
    series: [{ label: 'Sessions', values: secondNames.map(([bucket]) => total.seconds[bucket] ?? 0), colour: 'accent' }],
  };
}

const sizeNames: [bucket: string, tick: string, name: string][] = [
  ['1mb', '≤ 1 MB', 'up to 1 MB'],
  ['10mb', '≤ 10 MB', '1 to 10 MB'],
  ['100mb', '≤ 100 MB', '10 to 100 MB'],
  ['1gb', '≤ 1 GB', '100 MB to 1 GB'],
  ['10gb', '≤ 10 GB', '1 to 10 GB'],
  ['more', '> 10 GB', 'more than 10 GB'],
];

/** In the unit that the largest has at least ten of. */
export function sizeBytes({ total }: Published): ChartData {
  const bytes = sizeNames.map(([bucket]) => total.bytesBySize[bucket] ?? 0);
  const most = Math.max(...bytes);
  const [unit, size] = most >= 1e13 ? ['TB', 1e12] as const : most >= 1e10 ? ['GB', 1e9] as const : ['MB', 1e6] as const;
  return {
    ticks: sizeNames.map(([, tick]) => tick),
    names: sizeNames.map(([, , name]) => name),
    series: [{ label: unit, values: bytes.map((n) => Math.round((n / size) * 10) / 10), colour: 'accent' }],
  };
}

/** Part of a whole, in whole percent; undefined where there is nothing to divide. */
export function share(part = 0, rest = 0): number | undefined {
  const all = part + rest;
  return all > 0 ? Math.round((part / all) * 100) : undefined;
}

/** What a chart shows, in a sentence, for those who can't see it. */
export function summary({ names, series }: ChartData): string {
  return series
    .map(({ label, values }) => {
      let top = -1;
      values.forEach((v, i) => {
        if (v !== null && (top < 0 || v > values[top]!)) top = i;
      });
      return top < 0 || values[top] === 0 ? `${label}: none yet.` : `${label}: most at ${names[top]}, ${values[top]}; last ${values.at(-1) ?? 'unknown'}.`;
    })
    .join(' ');
}
