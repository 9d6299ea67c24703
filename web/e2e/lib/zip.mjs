/** Reads zip archives whose entries are stored, not compressed (APPNOTE.TXT 4.3), by their central directory. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** {name: {size, sha256}} */
export async function readZip(path) {
  const b = await readFile(path);
  const end = b.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error('no end of central directory');
  const entries = {};
  let at = b.readUInt32LE(end + 16);
  for (let n = b.readUInt16LE(end + 10); n > 0; n--) {
    if (b.readUInt32LE(at) !== 0x02014b50) throw new Error(`no entry at ${at}`);
    if (b.readUInt16LE(at + 10) !== 0) throw new Error('a compressed entry');
    const size = b.readUInt32LE(at + 24);
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => b.readUInt16LE(at + field));
    const local = b.readUInt32LE(at + 42);
    const start = local + 30 + b.readUInt16LE(local + 26) + b.readUInt16LE(local + 28);
    const name = b.toString('utf8', at + 46, at + 46 + nameLength);
    entries[name] = { size, sha256: createHash('sha256').update(b.subarray(start, start + size)).digest('hex') };
    at += 46 + nameLength + extra + comment;
  }
  return entries;
}
