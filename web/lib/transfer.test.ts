import { describe, expect, test } from 'vitest';
import { bestSha256, nobleHash } from './crypto';
import { chunkSize, creditWindow, encodeFrame, messageSize, Piece, pieceSize, type ControlMessage } from './protocol';
import { Receiving } from './receiving';
import { Sending, type SourceFile } from './sending';
import { Lane, TestSink, content, sourceFile, turn, type Taps } from './testing/wire';

function pair(files: SourceFile[], taps: { host?: Taps; guest?: Taps } = {}) {
  const toGuest = new Lane(taps.host);
  const toHost = new Lane(taps.guest);
  const sending: Sending = new Sending(toGuest, files, bestSha256(), () => {
    if (sending.phase === 'accepted') sending.start();
  });
  const receiving = new Receiving(toHost, nobleHash, () => {});
  toGuest.deliver = { control: (m) => receiving.onControl(m), data: (m) => receiving.onData(m) };
  toHost.deliver = { control: (m) => sending.onControl(m), data: () => sending.onData() };
  return { sending, receiving, toGuest, toHost, sink: new TestSink() };
}
type Pair = ReturnType<typeof pair>;

async function until(condition: () => boolean): Promise<void> {
  // Hashes may be calculated on another thread, which no number of turns waits for.
  const end = Date.now() + 25_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('it never came');
    await turn();
  }
}

async function offered(p: Pair): Promise<void> {
  p.sending.offer();
  await until(() => p.receiving.phase === 'offered');
}

async function accepted(p: Pair): Promise<void> {
  await offered(p);
  p.receiving.accept(p.sink);
}

const over = (p: Pair) => () => {
  const ended = (phase: string) => phase === 'done' || phase === 'ended';
  return ended(p.sending.phase) && ended(p.receiving.phase);
};

async function both(p: Pair): Promise<void> {
  await accepted(p);
  await until(over(p));
}

const MiB = 1 << 20;

/** Typed arrays of megabytes are too much for toEqual. */
const expectSame = (got: Uint8Array, want: Uint8Array) => expect(Buffer.compare(got, want), 'the bytes').toBe(0);

describe('what is sent arrives, and both sides say done', () => {
  test.each([0, 1, 65_519, 65_520, 65_521, MiB - 1, MiB, MiB + 1, 3 * MiB + 70_000])('%i bytes', async (size) => {
    const bytes = content(size);
    const p = pair([sourceFile('a.bin', bytes)]);
    await both(p);
    expect([p.sending.phase, p.receiving.phase]).toEqual(['done', 'done']);
    expect(p.sink.files.map(({ name, closed }) => ({ name, closed }))).toEqual([{ name: 'a.bin', closed: true }]);
    expectSame(p.sink.files[0]!.bytes, bytes);
    expect(p.sink.calls.at(-1)).toBe('finish');
    expect([p.sending.progress, p.receiving.written]).toEqual([size, size]);
    expect(p.sink.aborted).toBe(0);
  });

  test('several files, with empty ones and equal names', async () => {
    const sizes = [0, 1, 70_000, 0, MiB, 2 * MiB + 5, 0];
    const files = sizes.map((size, i) => sourceFile('x', content(size, i + 1)));
    const p = pair(files);
    await both(p);
    expect(p.receiving.phase).toBe('done');
    expect(p.sink.files.map((f) => f.name)).toEqual(['x', 'x (1)', 'x (2)', 'x (3)', 'x (4)', 'x (5)', 'x (6)']);
    p.sink.files.forEach((file, i) => expectSame(file.bytes, content(sizes[i]!, i + 1)));
  });

  test('a thousand small files', async () => {
    const p = pair(Array.from({ length: 1000 }, (_, i) => sourceFile(`${i}.txt`, content(i % 50, i + 1))));
    await both(p);
    expect(p.receiving.phase).toBe('done');
    expect(p.sink.files.length).toBe(1000);
  });

  test('random sizes', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = content(8, seed);
      const sizes = [...random.subarray(0, 4)].map((byte, i) => (byte * (random[i + 4]! + 1) * 13) % (2 * MiB));
      const p = pair(sizes.map((size, i) => sourceFile(`${i}`, content(size, seed + i))));
      await both(p);
      expect(p.receiving.phase, String(sizes)).toBe('done');
      p.sink.files.forEach((file, i) => expectSame(file.bytes, content(sizes[i]!, seed + i)));
    }
  });
});

test('a slow disk holds the host: never more than the window is under way', async () => {
  let reads = 0;
  const file: SourceFile = {
    name: 'big',
    size: 20 * MiB,
    read: async (_, length) => {
      reads++;
      return new Uint8Array(length);
    },
  };
  const p = pair([file]);
  let release = () => {};
  p.sink.hold = new Promise((resolve) => (release = resolve));
  await accepted(p);
  for (let i = 0; i < 2000; i++) await turn();
  expect(p.sending.progress).toBe(creditWindow);
  expect(reads).toBeLessThanOrEqual(creditWindow / chunkSize + 3);
  expect(p.receiving.written).toBe(0);
  p.sink.hold = undefined;
  release();
  await until(over(p));
  expect(p.receiving.phase).toBe('done');
  expect(p.toGuest.highest).toBeLessThanOrEqual(MiB + messageSize);
});

test('the sink may keep the buffers', async () => {
  const bytes = content(5 * MiB + 3);
  const p = pair([sourceFile('a', bytes)]);
  const write = p.sink.write.bind(p.sink);
  p.sink.write = (chunk) => write(structuredClone(chunk, { transfer: [chunk.buffer] }));
  await both(p);
  expectSame(p.sink.files[0]!.bytes, bytes);
});

describe('cancel, from both sides and at each stage', () => {
  const slow = () => sourceFile('a', content(30 * MiB));
  const stages: Record<string, (p: Pair) => Promise<void>> = {
    listed: offered,
    asking: accepted,
    running: async (p) => {
      await accepted(p);
      await until(() => p.receiving.written > MiB);
    },
  };
  for (const [stage, reach] of Object.entries(stages)) {
    test.each(['sending', 'receiving'] as const)(`${stage}, by %s`, async (side) => {
      const p = pair([slow()]);
      await reach(p);
      p[side].cancel();
      await until(over(p));
      expect(p[side].ending).toEqual({ by: 'me', cause: 'user' });
      expect(p[side === 'sending' ? 'receiving' : 'sending'].ending).toEqual({ by: 'peer', cause: 'user' });
      expect(p.sink.aborted).toBe(stage === 'listed' ? 0 : 1);
    });
  }

  test('while queued, and while confirming', async () => {
    const p = pair([slow()]);
    p.sending.offer();
    await until(() => p.receiving.phase === 'offered');
    const q = pair([sourceFile('a', content(10))], { guest: { control: (m) => (m.type === 'verified' ? undefined : m) } });
    await accepted(q);
    await until(() => q.sending.phase === 'verifying' && q.sink.calls.includes('finish'));
    q.sending.cancel();
    await until(over(q));
    expect(q.receiving.ending).toEqual({ by: 'peer', cause: 'user' });
    expect(q.sink.aborted).toBe(1);
  });

  test('a cancel by signaling counts too, and only the first', async () => {
    const p = pair([slow()]);
    await stages.running!(p);
    p.receiving.cancelled('user');
    p.sending.cancelled('user');
    p.receiving.onControl({ type: 'cancel', reason: 'disk' });
    expect(p.receiving.ending).toEqual({ by: 'peer', cause: 'user' });
  });

  test('after done nothing changes', async () => {
    const p = pair([sourceFile('a', content(10))]);
    await both(p);
    p.sending.cancel();
    p.receiving.cancel();
    p.receiving.lost();
    expect([p.sending.phase, p.receiving.phase]).toEqual(['done', 'done']);
  });
});

describe('queue and seats', () => {
  test('queued, then started', async () => {
    const p = pair([sourceFile('a', content(10))]);
    const start = p.sending.start.bind(p.sending);
    p.sending.start = () => p.sending.queue(2);
    await accepted(p);
    await until(() => p.receiving.phase === 'queued');
    expect(p.receiving.ahead).toBe(2);
    start();
    await until(over(p));
    expect(p.receiving.phase).toBe('done');
  });

  test('full, then asked again', async () => {
    const p = pair([sourceFile('a', content(10))]);
    const start = p.sending.start.bind(p.sending);
    p.sending.start = () => p.sending.refuse();
    await accepted(p);
    await until(() => p.receiving.phase === 'full');
    expect(p.sink.aborted).toBe(1);
    p.sending.start = start;
    const sink = new TestSink();
    p.receiving.accept(sink);
    await until(over(p));
    expect(p.receiving.phase).toBe('done');
    expect(sink.files.length).toBe(1);
  });
});

describe('what goes wrong ends both sides, with its reason', () => {
  const expectEnd = async (p: Pair, by: 'sending' | 'receiving', cause: string) => {
    await both(p);
    expect(p[by].ending).toEqual({ by: 'me', cause });
    expect(p[by === 'sending' ? 'receiving' : 'sending'].ending).toEqual({ by: 'peer', cause });
    expect(p.sink.aborted).toBe(1);
  };

  test.each(['begin', 'open', 'write', 'close', 'finish'])('a sink that fails to %s', async (call) => {
    const p = pair([sourceFile('a', content(2 * MiB))]);
    p.sink.fail = call;
    await expectEnd(p, 'receiving', 'disk');
    expect(p.receiving.failure).toEqual(new Error(`no ${call}`));
  });

  test('a source that fails, or shrinks', async () => {
    const gone: SourceFile = { name: 'a', size: 10 * MiB, read: (at) => (at > 3 * MiB ? Promise.reject(new Error('gone')) : Promise.resolve(content(MiB))) };
    await expectEnd(pair([gone]), 'sending', 'source');
    const short: SourceFile = { ...gone, read: async (at, length) => content(at > 0 ? length - 1 : length) };
    await expectEnd(pair([short]), 'sending', 'source');
  });

  const flip = (type: number, nth: number, at: number): Taps => {
    let seen = 0;
    return {
      data: (bytes) => {
        if (bytes[0] === type && ++seen === nth) bytes[at]! ^= 1;
        return bytes;
      },
    };
  };
  test.each([
    ['a changed byte', flip(1, 5, 1000)],
    ['a changed chunk digest', flip(2, 2, 20)],
    ['a changed file digest', flip(3, 1, 20)],
  ])('%s', async (_, tap) => {
    const p = pair([sourceFile('a', content(2 * MiB + 9))], { host: tap });
    await expectEnd(p, 'receiving', 'hash');
    expect(p.sink.files.some((file) => file.closed)).toBe(false);
  });

  test('other digests in verified', async () => {
    const tap: Taps = { control: (m) => (m.type === 'verified' ? { ...m, digests: ['A'.repeat(43)] } : m) };
    await expectEnd(pair([sourceFile('a', content(9))], { guest: tap }), 'sending', 'hash');
  });

  test.each([
    ['a wrong offset', flip(1, 5, 15)],
    ['another file', flip(1, 5, 7)],
    ['a wrong digest offset', flip(2, 2, 15)],
    ['a wrong size at the end', flip(3, 1, 15)],
    ['an unknown type', flip(1, 2, 1)],
  ])('%s', async (_, tap) => {
    await expectEnd(pair([sourceFile('a', content(2 * MiB + 9))], { host: tap }), 'receiving', 'protocol');
  });

  test('pieces in the wrong order, lost, or twice', async () => {
    let kept: Uint8Array<ArrayBuffer> | undefined;
    let count = 0;
    const lost: Taps = { data: (bytes) => (bytes[0] === 1 && ++count === 3 ? undefined : bytes) };
    await expectEnd(pair([sourceFile('a', content(2 * MiB))], { host: lost }), 'receiving', 'protocol');
    const twice: Taps = {
      data: (bytes) => {
        const now = kept ?? bytes;
        kept = bytes[0] === 1 ? bytes : undefined;
        return now;
      },
    };
    await expectEnd(pair([sourceFile('a', content(2 * MiB))], { host: twice }), 'receiving', 'protocol');
  });

  test('more than the manifest said', async () => {
    const tap: Taps = { control: (m) => (m.type === 'manifest' ? { ...m, files: [{ name: 'a', size: 100 }] } : m) };
    await expectEnd(pair([sourceFile('a', content(2 * MiB))], { host: tap }), 'receiving', 'protocol');
  });

  test('more than the credit', async () => {
    const tap: Taps = { control: (m) => (m.type === 'credit' ? { ...m, bytes: m.bytes * 4 } : m) };
    const p = pair([sourceFile('a', content(40 * MiB))], { guest: tap });
    p.sink.hold = new Promise(() => {});
    await accepted(p);
    await until(() => p.receiving.phase === 'ended');
    expect(p.receiving.ending).toEqual({ by: 'me', cause: 'protocol' });
    expect(p.sink.aborted).toBe(1);
  });

  test('a piece across a chunk boundary', async () => {
    const p = pair([sourceFile('a', content(2 * MiB))]);
    p.sending.start = () => {};
    await accepted(p);
    p.receiving.onControl({ type: 'start' });
    await until(() => p.toHost.controlled.some((m) => m.type === 'credit'));
    const frame = new Uint8Array(messageSize);
    for (let at = 0; at <= MiB; at += pieceSize) {
      p.receiving.onData(encodeFrame(frame, Piece, 0, at, content(pieceSize)).slice().buffer);
    }
    expect(p.receiving.ending).toEqual({ by: 'me', cause: 'protocol' });
  });

  test('data before the start, and after the end', async () => {
    const frame = () => encodeFrame(new Uint8Array(messageSize), Piece, 0, 0, content(9)).slice().buffer;
    const p = pair([sourceFile('a', content(9))]);
    await offered(p);
    p.receiving.onData(frame());
    expect(p.receiving.ending?.cause).toBe('protocol');
    p.receiving.onData(frame());
    const q = pair([sourceFile('a', content(9))]);
    await both(q);
    q.receiving.onData(frame());
    expect(q.receiving.phase).toBe('done');
  });

  test.each<[string, ControlMessage | undefined]>([
    ['nonsense', undefined],
    ['a second manifest', { type: 'manifest', files: [], last: true }],
    ['start without accept', { type: 'start' }],
    ['done without verified', { type: 'done' }],
    ['a message of the wrong side', { type: 'credit', bytes: 1 }],
  ])('the guest refuses %s', async (_, message) => {
    const p = pair([sourceFile('a', content(9))]);
    await offered(p);
    p.receiving.onControl(message);
    expect(p.receiving.ending).toEqual({ by: 'me', cause: 'protocol' });
  });

  test.each<[string, ControlMessage | undefined]>([
    ['nonsense', undefined],
    ['credit before the start', { type: 'credit', bytes: 1 }],
    ['verified before the end', { type: 'verified', digests: [] }],
    ['a message of the wrong side', { type: 'start' }],
  ])('the host refuses %s', async (_, message) => {
    const p = pair([sourceFile('a', content(9))]);
    await offered(p);
    p.sending.onControl(message);
    expect(p.sending.ending).toEqual({ by: 'me', cause: 'protocol' });
    p.sending.onData();
  });

  test('manifests that are empty, too long or too large', async () => {
    const receiving = () => new Receiving(new Lane(), nobleHash, () => {});
    const empty = receiving();
    empty.onControl({ type: 'manifest', files: [], last: true });
    expect(empty.ending?.cause).toBe('protocol');
    const long = receiving();
    for (let i = 0; i < 6; i++) long.onControl({ type: 'manifest', files: Array.from({ length: 200 }, () => ({ name: 'a', size: 1 })), last: false });
    expect(long.ending?.cause).toBe('protocol');
    const large = receiving();
    large.onControl({ type: 'manifest', files: [1, 2].map(() => ({ name: 'a', size: Number.MAX_SAFE_INTEGER })), last: true });
    expect(large.ending?.cause).toBe('protocol');
  });
});

describe('a lost link', () => {
  test('while running', async () => {
    const p = pair([sourceFile('a', content(30 * MiB))]);
    await accepted(p);
    await until(() => p.receiving.written > MiB);
    p.toGuest.cut = p.toHost.cut = true;
    p.sending.lost();
    p.receiving.lost();
    expect([p.sending.ending?.cause, p.receiving.ending?.cause]).toEqual(['lost', 'lost']);
    expect(p.sink.aborted).toBe(1);
  });

  test('with everything received, but not confirmed: the files stay', async () => {
    const p = pair([sourceFile('a', content(30))], { host: { control: (m) => (m.type === 'done' ? undefined : m) } });
    await accepted(p);
    await until(() => p.sending.phase === 'done');
    p.receiving.lost();
    expect(p.receiving.ending).toEqual({ by: 'peer', cause: 'unconfirmed' });
    expect(p.sink.aborted).toBe(0);
  });
});
