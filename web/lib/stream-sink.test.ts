import { describe, expect, test } from 'vitest';
import type { Bytes } from './bytes';
import { MemorySink } from './memory-sink';
import type { ByteSink, Sink } from './sink';
import { SingleSink, ZipSink, zipLength } from './stream-sink';
import { content, turn } from './testing/wire';

class Collected implements ByteSink {
  parts: Bytes[] = [];
  calls: string[] = [];
  hold: Promise<void> | undefined;
  broken = false;
  begin = async () => void this.calls.push('begin');
  finish = async () => void this.calls.push('finish');
  abort = async () => void this.calls.push('abort');
  async write(bytes: Bytes): Promise<void> {
    await this.hold;
    if (this.broken) throw new Error('broken');
    this.parts.push(bytes.slice());
  }
  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

const chunk = 1 << 20;

async function fill(sink: Sink, files: { name: string; bytes: Bytes }[]): Promise<void> {
  await sink.begin();
  for (const { name, bytes } of files) {
    await sink.open({ name, size: bytes.length });
    for (let at = 0; at < bytes.length; at += chunk) await sink.write(bytes.slice(at, at + chunk));
    await sink.close();
  }
  await sink.finish();
}

/** Reads a zip of stored entries by its central directory (APPNOTE 4.3.12). */
function unzip(zip: Buffer): { name: string; bytes: Buffer }[] {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = zip.readUInt32LE(end + 16);
  return Array.from({ length: zip.readUInt16LE(end + 10) }, () => {
    expect(zip.readUInt32BE(at)).toBe(0x504b0102);
    const [size, name, extra, comment] = [zip.readUInt32LE(at + 20), zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)];
    const local = zip.readUInt32LE(at + 42);
    const data = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const entry = { name: zip.toString('utf8', at + 46, at + 46 + name), bytes: zip.subarray(data, data + size) };
    at += 46 + name + extra + comment;
    return entry;
  });
}

describe('a zip', () => {
  const files = [0, 1, 70_000, 2 * chunk + 3, 0].map((size, i) => ({ name: `Ünï ${i}.bin`, bytes: content(size, i + 1) }));

  test('has all files, and the length that was promised', async () => {
    const out = new Collected();
    await fill(new ZipSink(out), files);
    expect(out.bytes.length).toBe(zipLength(files.map(({ name, bytes }) => ({ name, size: bytes.length }))));
    const entries = unzip(out.bytes);
    expect(entries.map((e) => e.name)).toEqual(files.map((f) => f.name));
    entries.forEach((entry, i) => expect(Buffer.compare(entry.bytes, files[i]!.bytes)).toBe(0));
    expect(out.calls).toEqual(['begin', 'finish']);
  });

  test('a write returns when its bytes are written on, not before', async () => {
    const out = new Collected();
    const sink = new ZipSink(out);
    await sink.begin();
    await sink.open({ name: 'a', size: 2 * chunk });
    let release = () => {};
    out.hold = new Promise((resolve) => (release = resolve));
    let written = false;
    const write = sink.write(content(chunk)).then(() => (written = true));
    for (let i = 0; i < 50; i++) await turn();
    expect(written).toBe(false);
    release();
    await write;
  });

  test('a broken stream rejects the call that meets it, and all later ones', async () => {
    const out = new Collected();
    out.broken = true;
    await expect(fill(new ZipSink(out), files)).rejects.toThrow('broken');
  });

  test.each(['open', 'write'])('abort frees a pending %s', async (call) => {
    const out = new Collected();
    out.hold = new Promise(() => {});
    const sink = new ZipSink(out);
    await sink.begin();
    await sink.open({ name: 'a', size: 9 });
    const pending = call === 'open' ? sink.close().then(() => sink.open({ name: 'b', size: 9 })) : sink.write(content(9));
    const rejected = expect(pending).rejects.toThrow('aborted');
    await turn();
    await sink.abort();
    await rejected;
    await sink.abort();
    expect(out.calls).toContain('abort');
  });
});

test('one file goes as it is; memory delivers it at the end', async () => {
  let blob: Blob | undefined;
  const bytes = content(chunk + 5);
  await fill(new SingleSink(new MemorySink((b) => (blob = b))), [{ name: 'a', bytes }]);
  expect(Buffer.compare(Buffer.from(await blob!.arrayBuffer()), bytes)).toBe(0);
});
