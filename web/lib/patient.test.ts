import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiError, delays, post, type Delay } from './patient';

const { challenge, solved } = (JSON.parse(readFileSync(new URL('testdata/work.json', import.meta.url), 'utf8')) as { challenge: string; solved: string }[])[1]!;

type Answer = [status: number, body: object, retryAfter?: string];

/** A server that gives these answers in turn, and what it was asked. */
function server(...answers: Answer[]) {
  const asked: RequestInit[] = [];
  vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
    asked.push(init);
    const [status, body, retryAfter] = answers.shift() ?? [500, {}];
    return new Response(JSON.stringify(body), { status, headers: retryAfter ? { 'Retry-After': retryAfter } : {} });
  });
  return asked;
}

const work: Answer = [429, { code: 'work_required', message: 'calculate', work: challenge }, '1'];
const busy: Answer = [503, { code: 'busy', message: 'busy' }, '20'];
const header = (init?: RequestInit) => (init?.headers as Record<string, string>)['Causeway-Work'];

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Lets timers run until the promise has settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let over = false;
  promise.then(() => (over = true), () => (over = true));
  while (!over) await vi.advanceTimersByTimeAsync(100);
  return promise;
}

test('does the work that is asked for, once for each challenge', async () => {
  const asked = server(work, [201, { ok: 1 }]);
  expect(await settled(post('/x', {}))).toEqual({ ok: 1 });
  expect(asked.map(header)).toEqual([undefined, solved]);
});

test('waits as long as it is told, and says so to people', async () => {
  server(busy, [200, { ok: 1 }]);
  const heard: (Delay | undefined)[] = [];
  const deaf = delays.listen((delayed) => heard.push(delayed?.delay));
  let over = false;
  const answer = post('/x', {}).finally(() => (over = true));
  await vi.advanceTimersByTimeAsync(1400);
  expect(heard).toEqual([]);
  await vi.advanceTimersByTimeAsync(18_500);
  expect(over).toBe(false);
  expect(heard).toEqual(['waiting']);
  await vi.advanceTimersByTimeAsync(10_200);
  expect(await answer).toEqual({ ok: 1 });
  expect(heard).toEqual(['waiting', undefined]);
  deaf();
});

test('does not wait for hours, and says when', async () => {
  server([503, { code: 'sessions_paused', message: 'paused' }, '36000']);
  const error = await settled(post('/x', {}).catch((e: unknown) => e));
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: 'sessions_paused', status: 503, retryAfter: 36000 });
});

test('gives up in the end', async () => {
  const asked = server(work, work, work, work, work, work, work, work);
  await expect(settled(post('/x', {}))).rejects.toMatchObject({ code: 'work_required', status: 429 });
  expect(asked.length).toBe(6);
});

test('people can give it up, and so can the caller', async () => {
  server(busy, [200, {}]);
  const deaf = delays.listen((delayed) => delayed?.cancel?.());
  await expect(settled(post('/x', {}))).rejects.toMatchObject({ code: 'cancelled' });
  deaf();
  server(busy, [200, {}]);
  const gone = new AbortController();
  setTimeout(() => gone.abort(new Error('page left')), 500);
  await expect(settled(post('/x', {}, undefined, { signal: gone.signal }))).rejects.toThrow('page left');
});

test('who goes on by itself offers nothing to give up', async () => {
  server(busy, [200, { ok: 1 }]);
  const cancels: unknown[] = [];
  const deaf = delays.listen((delayed) => delayed && cancels.push(delayed.cancel));
  await settled(post('/x', {}, 'grant', { persistent: true }));
  expect(cancels).toEqual([undefined]);
  deaf();
});

test.each<[Answer, string]>([
  [[404, { code: 'unknown_link', message: 'no' }], 'unknown_link'],
  [[429, { code: 'too_many_requests', message: 'no' }], 'too_many_requests'], // without a time
  [[403, { code: 'blocked', message: 'no' }, '5'], 'blocked'],
])('passes on %j', async (answer, code) => {
  const asked = server(answer);
  await expect(settled(post('/x', {}))).rejects.toMatchObject({ code });
  expect(asked.length).toBe(1);
});
