/**
 * The messages of the two data channels, docs/protocol.md §4.3 and §4.4: types, limits, strict decoding.
 * Everything that comes in is hostile: decoders answer undefined for what isn't exactly right.
 */
import { fromBase64Url, type Bytes } from './bytes';

export const protocolVersion = 1;
export const chunkSize = 1 << 20;
export const pieceSize = 65_520;
export const headerSize = 16;
export const messageSize = headerSize + pieceSize;
export const digestSize = 32;
/** What a guest lets the host send beyond what is on disk; the bound of its memory. */
export const creditWindow = 8 << 20;
export const maxFiles = 1000;
export const maxFilesPerMessage = 200;

export type Reason = 'user' | 'disk' | 'hash' | 'source' | 'protocol';
const reasons: readonly string[] = ['user', 'disk', 'hash', 'source', 'protocol'] satisfies Reason[];

export interface FileEntry {
  name: string;
  /** bytes */
  size: number;
}

export type ControlMessage =
  | { type: 'bind'; version: number; mac: string }
  | { type: 'manifest'; files: FileEntry[]; last: boolean }
  | { type: 'accept' }
  | { type: 'queued'; ahead: number }
  | { type: 'full' }
  | { type: 'start' }
  | { type: 'credit'; bytes: number }
  | { type: 'verified'; digests: string[] }
  | { type: 'done' }
  | { type: 'cancel'; reason: Reason };

type Fields = Record<string, unknown>;

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isReason(value: unknown): value is Reason {
  return typeof value === 'string' && reasons.includes(value);
}

export function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseFiles(value: unknown): FileEntry[] | undefined {
  if (!Array.isArray(value) || value.length > maxFilesPerMessage) return undefined;
  const files: FileEntry[] = [];
  for (const one of value) {
    if (!isRecord(one) || typeof one.name !== 'string' || !isCount(one.size)) return undefined;
    files.push({ name: one.name, size: one.size });
  }
  return files;
}

function isDigests(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= maxFiles &&
    value.every((one) => typeof one === 'string' && fromBase64Url(one)?.length === digestSize)
  );
}

/** Decodes a message of the control channel; undefined if it isn't one. Unknown members are dropped. */
export function parseControl(text: unknown): ControlMessage | undefined {
  if (typeof text !== 'string' || text.length > messageSize) return undefined;
  let m: unknown;
  try {
    m = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isRecord(m) ? checkControl(m) : undefined;
}

function checkControl(m: Fields): ControlMessage | undefined {
  switch (m.type) {
    case 'bind':
      if (!isCount(m.version) || typeof m.mac !== 'string' || m.mac.length > 100) return undefined;
      return { type: 'bind', version: m.version, mac: m.mac };
    case 'manifest': {
      const files = parseFiles(m.files);
      return files && typeof m.last === 'boolean' ? { type: 'manifest', files, last: m.last } : undefined;
    }
    case 'accept':
    case 'full':
    case 'start':
    case 'done':
      return { type: m.type };
    case 'queued':
      return isCount(m.ahead) ? { type: 'queued', ahead: m.ahead } : undefined;
    case 'credit':
      return isCount(m.bytes) ? { type: 'credit', bytes: m.bytes } : undefined;
    case 'verified':
      return isDigests(m.digests) ? { type: 'verified', digests: m.digests } : undefined;
    case 'cancel':
      return isReason(m.reason) ? { type: 'cancel', reason: m.reason } : undefined;
    default:
      return undefined;
  }
}

export const Piece = 1;
export const ChunkDigest = 2;
export const FileDigest = 3;
export type FrameType = typeof Piece | typeof ChunkDigest | typeof FileDigest;

export interface Frame {
  type: FrameType;
  /** index in the manifest */
  file: number;
  offset: number;
  /** a view into the message: copy what shall outlive it */
  payload: Bytes;
}

/** Writes a frame into target, which holds at least messageSize bytes, and returns the part that was written. */
export function encodeFrame(target: Bytes, type: FrameType, file: number, offset: number, payload: Uint8Array): Bytes {
  const view = new DataView(target.buffer, target.byteOffset, headerSize);
  view.setUint32(0, type << 24);
  view.setUint32(4, file);
  view.setBigUint64(8, BigInt(offset));
  target.set(payload, headerSize);
  return target.subarray(0, headerSize + payload.length);
}

/** Decodes a message of the data channel; undefined if it isn't one. */
export function decodeFrame(message: unknown): Frame | undefined {
  if (!(message instanceof ArrayBuffer) || message.byteLength < headerSize || message.byteLength > messageSize) return undefined;
  const view = new DataView(message);
  const type = view.getUint8(0);
  const offset = Number(view.getBigUint64(8));
  if ((view.getUint32(0) & 0xffffff) !== 0 || !isCount(offset)) return undefined;
  if (type !== Piece && type !== ChunkDigest && type !== FileDigest) return undefined;
  const payload = new Uint8Array(message, headerSize);
  if (type === Piece ? payload.length === 0 : payload.length !== digestSize) return undefined;
  return { type, file: view.getUint32(4), offset, payload };
}

/** Splits a manifest into messages. Names are safe already, so that 200 of them stay below 64 KiB. */
export function manifestMessages(files: readonly FileEntry[]): ControlMessage[] {
  const messages: ControlMessage[] = [];
  for (let at = 0; at === 0 || at < files.length; at += maxFilesPerMessage) {
    const last = at + maxFilesPerMessage >= files.length;
    messages.push({ type: 'manifest', files: files.slice(at, at + maxFilesPerMessage), last });
  }
  return messages;
}
