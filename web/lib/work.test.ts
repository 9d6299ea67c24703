import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { toBase64Url } from './bytes';
import { firstWord } from './sha-block';
import { solve } from './solve';
import { Work, parts } from './work';

const vectors = JSON.parse(readFileSync(new URL('testdata/work.json', import.meta.url), 'utf8')) as { challenge: string; solved: string }[];

test('the block is SHA-256', () => {
  for (let n = 0; n < 200; n++) {
    const message = crypto.getRandomValues(new Uint8Array(40));
    const padded = new DataView(new ArrayBuffer(64));
    message.forEach((byte, i) => padded.setUint8(i, byte));
    padded.setUint8(40, 0x80);
    padded.setUint32(60, 320);
    const words = new Int32Array(64);
    for (let i = 0; i < 16; i++) words[i] = padded.getInt32(4 * i);
    expect(firstWord(words)).toBe(createHash('sha256').update(message).digest().readUInt32BE(0));
  }
});

test.each(vectors)('solves as the server does: $challenge', ({ challenge, solved }) => {
  const work = new Work(challenge);
  while (!work.run(100));
  expect(work.done).toBe(parts);
  expect(work.text()).toBe(solved);
});

test('without workers it is done in slices, and can be given up', async () => {
  expect(await solve(vectors[1]!.challenge)).toBe(vectors[1]!.solved);
  const gone = new AbortController();
  const hard = challengeOf(1 << 18);
  const solving = solve(hard, gone.signal);
  setTimeout(() => gone.abort(new Error('enough')), 5);
  await expect(solving).rejects.toThrow('enough');
});

function challengeOf(each: number, version = 1): string {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint32(4, each);
  return toBase64Url(bytes);
}

test.each([['nothing', ''], ['short', 'AQ'], ['of another version', challengeOf(1, 2)], ['endless', challengeOf((1 << 18) + 1)], ['for nothing', challengeOf(0)], ['text', 'a'.repeat(42) + '!']])(
  'refuses a challenge that is %s',
  (_, text) => expect(() => new Work(text)).toThrow('calculation'),
);
