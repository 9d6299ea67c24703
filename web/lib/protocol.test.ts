import { expect, test } from 'vitest';
import { toBase64Url, utf8 } from './bytes';
import { Piece, FileDigest, decodeFrame, encodeFrame, manifestMessages, maxFiles, messageSize, parseControl, pieceSize } from './protocol';
import { safeNames } from './names';

const digest = toBase64Url(new Uint8Array(32));

test.each([
  { type: 'bind', version: 1, mac: digest },
  { type: 'manifest', files: [{ name: 'a', size: 0 }], last: true },
  { type: 'accept' }, { type: 'full' }, { type: 'start' }, { type: 'done' },
  { type: 'queued', ahead: 2 },
  { type: 'credit', bytes: 8388608 },
  { type: 'verified', digests: [digest] },
  { type: 'cancel', reason: 'disk' },
])('takes $type, without what it does not know', (message) => {
  expect(parseControl(JSON.stringify({ ...message, later: 1 }))).toEqual(message);
});

test.each([
  '', 'x', 'null', '[]', '"done"', '{}', '{"type":"nonsense"}', '{"type":"credit"}', '{"type":"credit","bytes":-1}', '{"type":"credit","bytes":1.5}',
  '{"type":"credit","bytes":1e300}', '{"type":"queued","ahead":"1"}', '{"type":"manifest","files":{},"last":true}', '{"type":"manifest","files":[]}',
  '{"type":"manifest","files":[{"name":1,"size":1}],"last":true}', '{"type":"manifest","files":[{"name":"a","size":-1}],"last":true}',
  '{"type":"cancel","reason":"because"}', '{"type":"verified","digests":["AA"]}', '{"type":"bind","version":1}',
  JSON.stringify({ type: 'manifest', files: Array.from({ length: 201 }, () => ({ name: 'a', size: 1 })), last: true }),
  `{"type":"done"${' '.repeat(70_000)}}`,
])('refuses %.60j', (text) => {
  expect(parseControl(text)).toBeUndefined();
});

test('frames go round', () => {
  const target = new Uint8Array(messageSize);
  for (const length of [1, 1000, pieceSize]) {
    const payload = new Uint8Array(length).fill(7);
    const bytes = encodeFrame(target, Piece, 4_000_000_000, 2 ** 52 + 1, payload).slice();
    expect(bytes.length).toBe(16 + length);
    expect(decodeFrame(bytes.buffer)).toEqual({ type: Piece, file: 4_000_000_000, offset: 2 ** 52 + 1, payload });
  }
  const frame = encodeFrame(target, FileDigest, 1, 2, new Uint8Array(32)).slice();
  expect([...frame.subarray(0, 16)]).toEqual([3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
});

test('bad frames are refused', () => {
  const good = encodeFrame(new Uint8Array(messageSize), Piece, 0, 0, new Uint8Array(8)).slice();
  const changed = (at: number, value: number) => {
    const copy = good.slice();
    copy[at] = value;
    return copy.buffer;
  };
  expect(decodeFrame(good.buffer)).toBeDefined();
  for (const bad of [changed(0, 0), changed(0, 4), changed(1, 1), changed(3, 1), changed(8, 0xff), changed(0, 2)]) expect(decodeFrame(bad)).toBeUndefined();
  expect(decodeFrame(new ArrayBuffer(15))).toBeUndefined();
  expect(decodeFrame(good.slice(0, 16).buffer)).toBeUndefined(); // an empty piece
  expect(decodeFrame(new ArrayBuffer(messageSize + 1))).toBeUndefined();
  expect(decodeFrame('text')).toBeUndefined();
});

test('the longest manifest fits into its messages', () => {
  const names = safeNames(Array.from({ length: maxFiles }, () => '"'.repeat(300)));
  const messages = manifestMessages(names.map((name) => ({ name, size: Number.MAX_SAFE_INTEGER })));
  expect(messages.length).toBe(5);
  for (const message of messages) expect(utf8(JSON.stringify(message)).length).toBeLessThanOrEqual(65_536);
  expect(messages.map((m) => m.type === 'manifest' && m.last)).toEqual([false, false, false, false, true]);
});
