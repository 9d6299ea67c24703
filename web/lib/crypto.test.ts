import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { bestSha256, nobleHash, randomBytes } from './crypto';
import { DigestList } from './digest';

test.each([0, 1, 55, 56, 63, 64, 65, 1 << 20])('both hashes agree with node on %i bytes', async (length) => {
  const bytes = randomBytes(Math.min(length, 65_536));
  const want = createHash('sha256').update(bytes).digest('hex');
  for (const hash of [nobleHash, bestSha256()]) expect(Buffer.from(await hash(bytes)).toString('hex')).toBe(want);
});

test('the digest of a file is as the protocol says', async () => {
  const list = new DigestList();
  const parts: Buffer[] = [];
  for (let i = 0; i < 200; i++) {
    const digest = randomBytes(32);
    list.add(digest);
    parts.push(Buffer.from(digest));
  }
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(2n ** 40n);
  const want = createHash('sha256').update('causeway/1 file\n').update(size).update(Buffer.concat(parts)).digest('hex');
  expect(Buffer.from(await list.file(nobleHash, 2 ** 40)).toString('hex')).toBe(want);
});
