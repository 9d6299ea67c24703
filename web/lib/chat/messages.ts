/**
 * What members tell each other inside of frames, docs/protocol.md §6.3: types, limits, strict decoding. Everything that comes in
 * is hostile, also from a member: decoders answer undefined for what isn't right, and texts are cleaned before they are kept.
 */
import { safeName } from '../names';
import { isCount, isReason, isRecord, type Reason } from '../protocol';
import { isStreamId } from './stream';

/** In UTF-16 units, as a text field counts. */
export const maxText = 4000;
export const maxName = 40;
/** Ids of files are below; links count from id × 2³² (see files.ts). */
export const maxFileId = 2 ** 20;

/** What must arrive, once and in order. */
export type Item =
  | { type: 'text'; text: string; at: number }
  | { type: 'file'; id: number; name: string; size: number; at: number }
  /** the offer has ended */
  | { type: 'unfile'; id: number };

/** What the two sides of a file's transfer tell each other beside the server's signals. */
export type FileWord = { type: 'want' } | { type: 'here' } | { type: 'busy' } | { type: 'cancel'; link: number; reason: Reason | 'lost' | 'unverified' };

export type Body =
  | { type: 'item'; stream: string; n: number; base: number; item: Item }
  | { type: 'ack'; stream: string; n: number }
  | { type: 'typing' }
  | { type: 'ping' }
  | { type: 'pong' }
  | { type: 'bye' }
  | { type: 'file'; id: number; data: FileWord };

/** Control characters but line feed, and what turns the direction of text around. */
// eslint-disable-next-line no-control-regex
const unwanted = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function cut(text: string, length: number): string {
  const short = text.slice(0, length);
  return /[\ud800-\udbff]$/.test(short) ? short.slice(0, -1) : short;
}

/** A text as it is sent and shown; empty if there is nothing in it. */
export function cleanText(text: string): string {
  return cut(text.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').replace(unwanted, '').replace(lone, '\ufffd').trim(), maxText);
}

/** A name: one line, no invisible characters that could make two names look the same. */
export function cleanName(name: string): string {
  const line = name.normalize('NFC').replace(lone, '').replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu, '').replace(/\s+/gu, ' ').trim();
  return cut(line, maxName).trim();
}

function isPositive(value: unknown): value is number {
  return isCount(value) && value > 0;
}

function isFileId(value: unknown): value is number {
  return isPositive(value) && value < maxFileId;
}

function parseItem(value: unknown): Item | undefined {
  if (!isRecord(value)) return undefined;
  const { type, at } = value;
  if (type === 'unfile') return isFileId(value.id) ? { type, id: value.id } : undefined;
  if (!isCount(at)) return undefined;
  if (type === 'text') {
    if (typeof value.text !== 'string' || value.text.length > maxText) return undefined;
    const text = cleanText(value.text);
    return text === '' ? undefined : { type, text, at };
  }
  if (type !== 'file' || typeof value.name !== 'string' || value.name.length > 300 || !isFileId(value.id) || !isCount(value.size)) return undefined;
  return { type, id: value.id, name: safeName(value.name), size: value.size, at };
}

function parseWord(value: unknown): FileWord | undefined {
  if (!isRecord(value)) return undefined;
  const { type, link, reason } = value;
  if (type === 'want' || type === 'here' || type === 'busy') return { type };
  if (type !== 'cancel' || !isPositive(link)) return undefined;
  return isReason(reason) || reason === 'lost' || reason === 'unverified' ? { type, link, reason } : undefined;
}

/** Decodes the body of a frame; undefined if it isn't one. Unknown members are dropped. */
export function parseBody(text: string | undefined): Body | undefined {
  let m: unknown;
  try {
    m = JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
  if (!isRecord(m)) return undefined;
  const { type, stream, n } = m;
  switch (type) {
    case 'typing':
    case 'ping':
    case 'pong':
    case 'bye':
      return { type };
    case 'ack':
      return isStreamId(stream) && isCount(n) ? { type, stream, n } : undefined;
    case 'item': {
      const item = parseItem(m.item);
      if (!item || !isStreamId(stream) || !isPositive(n) || !isPositive(m.base) || m.base > n) return undefined;
      return { type, stream, n, base: m.base, item };
    }
    case 'file': {
      const data = parseWord(m.data);
      return data && isFileId(m.id) ? { type, id: m.id, data } : undefined;
    }
    default:
      return undefined;
  }
}
