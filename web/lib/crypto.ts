/**
 * SHA-256, HMAC and HKDF for pages that may have no WebCrypto: browsers hide `crypto.subtle` on plain
 * `http://<address>`, where `@noble/hashes` takes over. `crypto.getRandomValues` exists everywhere.
 */
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { utf8, type Bytes } from './bytes';

/** Hashes one chunk (at most 1 MiB). */
export type Sha256 = (bytes: Bytes) => Promise<Bytes>;

export const nobleHash: Sha256 = async (bytes) => new Uint8Array(nobleSha256(bytes));

const subtleHash: Sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

/** The native hash where there is one: it runs off the main thread. */
export function bestSha256(): Sha256 {
  return globalThis.crypto?.subtle ? subtleHash : nobleHash;
}

/** docs/protocol.md §4.1: one key for one purpose, from the link's secret. */
export function deriveKey(secret: Bytes, session: string, info: string): Bytes {
  return new Uint8Array(hkdf(nobleSha256, secret, utf8(session), utf8(info), 32));
}

export function hmacSha256(key: Bytes, message: Bytes): Bytes {
  return new Uint8Array(hmac(nobleSha256, key, message));
}

export function randomBytes(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}
