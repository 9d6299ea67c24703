import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RegionPlace, failAfterMs } from './regions';
import { HubSignaling, Seen, parseSignal, retryDelayMs, type SignalHandler } from './signaling';

/** A connection whose far end the test is. */
class FakeHub {
  handlers = new Map<string, (event: unknown) => void>();
  invoked: string[] = [];
  stopped = false;
  url = '';
  /** What invocations lead to. */
  answer: () => Promise<void> = () => Promise.resolve();
  #closed: () => void = () => {};

  on(target: string, handler: (event: unknown) => void): void {
    this.handlers.set(target, handler);
  }
  onclose(handler: () => void): void {
    this.#closed = handler;
  }
  async start(): Promise<void> {
    if (dead.has(this.url)) throw new Error('no answer');
  }
  invoke(method: string): Promise<void> {
    this.invoked.push(method);
    return this.answer();
  }
  async stop(): Promise<void> {
    this.stopped = true;
    this.close();
  }
  close(): void {
    this.#closed();
  }
}

const hubs = vi.hoisted(() => [] as unknown[]) as FakeHub[];
/** URLs that nobody answers at. */
const dead = new Set<string>();
vi.mock('@microsoft/signalr', () => ({
  LogLevel: { None: 6 },
  DefaultHttpClient: class {},
  HttpError: class extends Error {},
  HttpResponse: class {},
  NullLogger: {},
  HubConnectionBuilder: class {
    #url = '';
    withUrl(url: string): this {
      this.#url = url;
      return this;
    }
    configureLogging(): this {
      return this;
    }
    build(): FakeHub {
      hubs.push(new FakeHub());
      hubs[hubs.length - 1]!.url = this.#url;
      return hubs[hubs.length - 1]!;
    }
  },
}));

describe('a check', () => {
  const said: string[] = [];
  const note = (what: string) => () => void said.push(what);
  const handler: SignalHandler = {
    connected: note('connected'),
    disconnected: note('disconnected'),
    hello: note('hello'),
    signal: note('signal'),
    left: note('left'),
    relay: note('relay'),
    restart: note('restart'),
    budget: (state) => void said.push(state),
    refused: note('refused'),
  };
  const never = (): Promise<void> => new Promise(() => {});
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  let signaling: HubSignaling;
  let running: Promise<void>;

  beforeEach(async () => {
    vi.useFakeTimers();
    hubs.length = said.length = 0;
    signaling = new HubSignaling('grant', handler);
    running = signaling.run();
    await pass(0);
    expect([said, hubs.length]).toEqual([['connected'], 1]);
  });
  afterEach(async () => {
    hubs.at(-1)!.answer = () => Promise.resolve();
    await signaling.close();
    await running;
    expect(vi.getTimerCount()).toBe(0);
    expect(hubs.every((hub) => hub.stopped)).toBe(true);
    vi.useRealTimers();
  });

  test.each([
    ['answered', () => Promise.resolve()],
    ['refused', () => Promise.reject(new Error('HubException: too_many: x'))],
  ])('that is %s changes nothing', async (_, answer) => {
    hubs[0]!.answer = answer;
    signaling.check();
    await pass(10_000);
    expect([said, hubs.length]).toEqual([['connected'], 1]);
  });

  test('that stays without an answer is one question, and another connection is begun', async () => {
    hubs[0]!.answer = never;
    signaling.check();
    signaling.check();
    expect(hubs[0]!.invoked).toEqual(['hello']);
    await pass(3900);
    expect([said, hubs.length]).toEqual([['connected'], 1]);
    await pass(500);
    expect([said, hubs.length]).toEqual([['connected', 'disconnected', 'connected'], 2]);
    expect(hubs[0]!.stopped).toBe(true);
    hubs[0]!.handlers.get('hello')!({ from: 'a', role: 'host' }); // late, from the one that was given up
    hubs[0]!.close();
    await pass(10_000);
    expect(said).toEqual(['connected', 'disconnected', 'connected']);
    hubs[1]!.handlers.get('hello')!({ from: 'a', role: 'host' });
    expect(said.at(-1)).toBe('hello');
    hubs[1]!.handlers.get('budget')!({ level: 'session', state: 'warning' });
    hubs[1]!.handlers.get('budget')!({ level: 'session', state: 'later' });
    hubs[1]!.handlers.get('budget')!({ level: 'session', state: 'spent' });
    expect(said.slice(-3)).toEqual(['hello', 'warning', 'spent']);
    signaling.check(); // can be asked again
    expect(hubs[1]!.invoked).toEqual(['hello']);
  });

  test.each([['removed', 1], ['room_full', 1], ['nonsense', 2]])('a connection that is told “%s” and closed', async (code, connections) => {
    hubs[0]!.handlers.get('refused')!({ code });
    hubs[0]!.close();
    await pass(60_000);
    expect(said.filter((what) => what === 'connected').length).toBe(connections);
    expect(said.includes('refused')).toBe(connections === 1);
  });

  test('that is overtaken by the end of its connection begins no other than the usual', async () => {
    hubs[0]!.answer = never;
    signaling.check();
    hubs[0]!.close();
    await pass(10_000);
    expect([said, hubs.length]).toEqual([['connected', 'disconnected', 'connected'], 1]);
    hubs[0]!.stopped = true;
  });

  test('that is under way when all is closed leaves nothing behind', async () => {
    hubs[0]!.answer = never;
    signaling.check();
    hubs[0]!.answer = () => Promise.resolve();
    await signaling.close();
    await pass(10_000);
    expect(hubs.length).toBe(1);
  });
});

test('a region that is gone is left for the next one', async () => {
  vi.useFakeTimers();
  hubs.length = 0;
  const said: string[] = [];
  const nothing = () => {};
  const handler = { connected: () => void said.push('connected'), disconnected: () => void said.push('disconnected'), hello: nothing, signal: nothing, left: nothing, relay: nothing, restart: nothing, spent: nothing, refused: nothing };
  const regions = ['eu', 'na'].map((name) => ({ name, url: `https://${name}` }));
  const signaling = new HubSignaling('grant', handler, undefined, new RegionPlace({ peer: 'me', regions, server: 'https://eu' }, false));
  const running = signaling.run();
  await vi.advanceTimersByTimeAsync(1000);
  expect(hubs.map(({ url }) => url)).toEqual(['https://eu/api']);
  dead.add('https://eu/api');
  hubs[0]!.close();
  await vi.advanceTimersByTimeAsync(2 * failAfterMs);
  expect(hubs.map(({ url }) => url)).toEqual(['https://eu/api', 'https://na/api']);
  expect(said).toEqual(['connected', 'disconnected', 'connected']);
  await signaling.close();
  await running;
  expect(vi.getTimerCount()).toBe(0);
  dead.clear();
  vi.useRealTimers();
});

test.each([
  { type: 'here' },
  { type: 'busy' },
  { type: 'description', link: 1, description: { type: 'offer', sdp: 'v=0' } },
  { type: 'candidate', link: 2, candidate: { candidate: '', sdpMid: '0' } },
  { type: 'candidate', link: 2, candidate: null },
  { type: 'cancel', link: 1, reason: 'user' },
  { type: 'cancel', link: 1, reason: 'unverified' },
])('takes %j', (data) => {
  expect(parseSignal({ ...data, later: 1 })).toEqual(data);
});

test.each([
  undefined, null, 'here', [], {}, { type: 'there' },
  { type: 'description', description: { type: 'offer', sdp: 'v=0' } },
  { type: 'description', link: 0, description: { type: 'offer', sdp: 'v=0' } },
  { type: 'description', link: 1, description: { type: 'rollback', sdp: '' } },
  { type: 'description', link: 1 },
  { type: 'candidate', link: 1 },
  { type: 'candidate', link: 1, candidate: { candidate: 1 } },
  { type: 'cancel', link: 1, reason: 'whim' },
])('refuses %j', (data) => {
  expect(parseSignal(data)).toBeUndefined();
});

test('a signal counts once, and the memory of it is bounded', () => {
  const seen = new Seen();
  expect(seen.first('a', 1)).toBe(true);
  expect(seen.first('a', 1)).toBe(false);
  expect(seen.first('b', 1)).toBe(true);
  for (let n = 2; n < 5000; n++) expect(seen.first('a', n)).toBe(true);
  expect(seen.first('a', 4999)).toBe(false);
});

test('retries go on for ever, at most every eight seconds', () => {
  expect(retryDelayMs(0, 0)).toBe(125);
  expect(retryDelayMs(0, 1)).toBe(250);
  for (const retries of [5, 50, 5000]) {
    expect(retryDelayMs(retries, 0)).toBe(4000);
    expect(retryDelayMs(retries, 1)).toBe(8000);
  }
});
