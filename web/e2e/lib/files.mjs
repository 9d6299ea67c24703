/** Files to send: bytes that neither compress nor repeat, and their digests. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';

/**
 * Writes `size` bytes of an AES-CTR keystream, hashing on the way.
 * @returns {{path: string, name: string, size: number, sha256: string}}
 */
export async function makeFile(dir, name, size) {
  const path = join(dir, name);
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const hash = createHash('sha256');
  const out = createWriteStream(path);
  const zeros = Buffer.alloc(1 << 20);
  for (let left = size; left > 0; left -= zeros.length) {
    const part = cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
    hash.update(part);
    if (!out.write(part)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  return { path, name, size, sha256: hash.digest('hex') };
}

export async function sha256Of(path) {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part);
  return hash.digest('hex');
}
