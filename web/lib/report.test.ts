import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { GuestReporter, HostReporter, MemberReporter, secondsBucket, settleMs, sizePower, type GuestView, type PathView, type Report } from './report';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const start: GuestView = { online: false, met: false, linked: false, path: undefined, trouble: undefined, offered: false, done: false, ending: undefined, full: false, bytes: 0 };

function guest() {
  const sent: Report[] = [];
  const reporter = new GuestReporter((report) => sent.push(report));
  let view = start;
  const see = (change: Partial<GuestView>, ms = 0) => {
    vi.advanceTimersByTime(ms);
    view = { ...view, ...change };
    reporter.see(view);
  };
  return { reporter, sent, see };
}

test('a transfer that is done is told at once, and once', () => {
  const { reporter, sent, see } = guest();
  see({ online: true });
  see({ met: true }, 9000);
  see({ linked: true }, 1500);
  see({ path: 'direct', offered: true }, 100);
  see({ done: true, bytes: 3_000_000 }, 5000);
  const report = { outcome: 'worked', path: 'direct', seconds: '2', transfer: 'done', size: 22 };
  expect(sent).toEqual([report]);
  reporter.leave();
  vi.advanceTimersByTime(10 * settleMs);
  expect(sent).toEqual([report]);
});

test('done before the path is known: it waits for that', () => {
  const { sent, see } = guest();
  see({ online: true, met: true, linked: true, offered: true, done: true, bytes: 1 });
  expect(sent).toEqual([]);
  see({ path: 'relay' });
  expect(sent).toEqual([{ outcome: 'worked', path: 'relay', seconds: '1', transfer: 'done', size: 0 }]);
});

test('a failure that is mended is none', () => {
  const { sent, see } = guest();
  see({ online: true, met: true, linked: true, path: 'direct', offered: true });
  see({ ending: { cause: 'lost', by: 'me' } });
  see({ ending: undefined, linked: false }, settleMs - 1000);
  see({ linked: true }, 30_000);
  see({ done: true, bytes: 10 });
  expect(sent.map((r) => r.transfer)).toEqual(['done']);
});

test('a failure that stays is told after a minute', () => {
  const { sent, see } = guest();
  see({ online: true, met: true, linked: true, path: 'direct', offered: true });
  see({ ending: { cause: 'disk', by: 'me' } });
  see({}, settleMs - 1);
  expect(sent).toEqual([]);
  see({}, 1);
  expect(sent).toEqual([{ outcome: 'worked', path: 'direct', seconds: '1', transfer: 'disk' }]);
});

test('no path', () => {
  const { sent, see } = guest();
  see({ online: true, met: true });
  see({ trouble: 'no_path' }, 30_000);
  see({}, settleMs);
  expect(sent).toEqual([{ outcome: 'no_path' }]);
});

test.each([
  ['left at once', {}, 1000, undefined],
  ['no signaling', {}, 20_000, 'no_signaling'],
  ['nobody there', { online: true }, 20_000, 'alone'],
  ['left while connecting', { online: true, met: true }, 5000, undefined],
  ['gave up connecting', { online: true, met: true }, 20_000, 'no_path'],
  ['unverified', { online: true, met: true, trouble: 'unverified' as const }, 0, 'unverified'],
])('leaving: %s', (_, change, ms, outcome) => {
  const { reporter, sent, see } = guest();
  see(change);
  vi.advanceTimersByTime(ms);
  reporter.leave();
  expect(sent.map((r) => r.outcome)).toEqual(outcome ? [outcome] : []);
});

test('a list that was only looked at', () => {
  const { reporter, sent, see } = guest();
  see({ online: true, met: true, linked: true, path: 'relay', offered: true });
  reporter.leave();
  expect(sent).toEqual([{ outcome: 'worked', path: 'relay', seconds: '1', transfer: 'offered' }]);
});

test('a host tells about its signaling', () => {
  const sent: Report[] = [];
  const send = (report: Report) => sent.push(report);
  const good = new HostReporter(send);
  good.see(false);
  good.see(true);
  good.leave();
  const bad = new HostReporter(send);
  vi.advanceTimersByTime(settleMs);
  bad.see(true);
  new HostReporter(send).leave();
  expect(sent).toEqual([{ outcome: 'host' }, { outcome: 'no_signaling' }]);
});

function member() {
  const sent: Report[] = [];
  const reporter = new MemberReporter((report) => sent.push(report));
  let view: PathView = { online: false, met: false, linked: false, path: undefined, trouble: undefined };
  const see = (change: Partial<PathView>, ms = 0) => {
    vi.advanceTimersByTime(ms);
    view = { ...view, ...change };
    reporter.see(view);
  };
  return { reporter, sent, see };
}

test('a member tells of the first path that it came to, once it is known which', () => {
  const { reporter, sent, see } = member();
  see({ online: true });
  see({ met: true }, 3_600_000); // waiting for somebody is no part of it
  see({ linked: true }, 4000);
  expect(sent).toEqual([]);
  see({ path: 'relay' }, 100);
  const report = { outcome: 'worked', path: 'relay', seconds: '5', transfer: 'none' };
  expect(sent).toEqual([report]);
  see({ linked: false, path: undefined, trouble: 'no_path' });
  see({}, 2 * settleMs);
  reporter.leave();
  expect(sent).toEqual([report]);
});

test('who left before a path came up is not waited for', () => {
  const { sent, see } = member();
  see({ online: true, met: true });
  see({ met: false }, 5000);
  see({ met: true }, 600_000);
  see({ linked: true, path: 'direct' }, 500);
  expect(sent).toEqual([{ outcome: 'worked', path: 'direct', seconds: '1', transfer: 'none' }]);
});

test('a member without a path tells so after a minute, unless one comes up yet', () => {
  const [mended, lost] = [member(), member()];
  for (const { see } of [mended, lost]) see({ online: true, met: true });
  mended.see({ trouble: 'no_path' }, 30_000);
  lost.see({ trouble: 'no_path' });
  mended.see({ linked: true, path: 'relay', trouble: undefined }, settleMs - 1);
  expect([mended.sent.length, lost.sent.length]).toEqual([1, 0]);
  lost.see({}, 1);
  expect(mended.sent).toEqual([{ outcome: 'worked', path: 'relay', seconds: 'more', transfer: 'none' }]);
  expect(lost.sent).toEqual([{ outcome: 'no_path' }]);
});

test.each([
  ['at once', {}, 1000, undefined],
  ['without signaling', {}, 20_000, 'no_signaling'],
  ['whom nobody met', { online: true }, 20_000, 'alone'],
  ['while connecting', { online: true, met: true }, 5000, undefined],
  ['after a long try', { online: true, met: true }, 20_000, 'no_path'],
  ['after somebody was in between', { online: true, met: true, trouble: 'unverified' as const }, 0, 'unverified'],
])('a member that leaves %s', (_, change, ms, outcome) => {
  const { reporter, sent, see } = member();
  see(change);
  vi.advanceTimersByTime(ms);
  reporter.leave();
  expect(sent.map((r) => r.outcome)).toEqual(outcome ? [outcome] : []);
});

test('buckets', () => {
  expect([0, 1000, 1001, 2000, 30_000, 30_001].map(secondsBucket)).toEqual(['1', '1', '2', '2', '30', 'more']);
  expect([0, 1, 2, 3, 1024, 1025, 2 ** 60].map(sizePower)).toEqual([0, 0, 1, 2, 10, 11, 44]);
});
