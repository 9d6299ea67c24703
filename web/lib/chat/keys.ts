/** Ed25519 (RFC 8032), and X25519 (RFC 7748) between the same keys. */
import * as ed from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import type { Bytes } from '../bytes';

ed.hashes.sha512 = sha512;

const p = 2n ** 255n - 19n;

export function publicKeyOf(seed: Bytes): Bytes {
  return new Uint8Array(ed.getPublicKey(seed));
}

export function sign(message: Bytes, seed: Bytes): Bytes {
  return new Uint8Array(ed.sign(message, seed));
}

export function verify(signature: Uint8Array, message: Bytes, publicKey: Bytes): boolean {
  try {
    return ed.verify(signature, message, publicKey, { zip215: false });
  } catch {
    return false;
  }
}

/**
 * What both owners can calculate and nobody else: X25519 of the keys' Montgomery forms, u = (1 + y) / (1 − y). Throws for a key
 * that is no point of the prime-order group.
 */
export function shared(seed: Bytes, publicKey: Bytes): Bytes {
  const other = ed.Point.fromBytes(publicKey);
  if (other.isSmallOrder() || !other.isTorsionFree()) throw new Error('not a public key');
  const { y } = other.multiply(ed.utils.getExtendedPublicKey(seed).scalar).toAffine();
  const u = ed.etc.mod((1n + y) * ed.etc.invert(ed.etc.mod(1n - y, p), p), p);
  const hex = u.toString(16).padStart(64, '0');
  return new Uint8Array(ed.etc.hexToBytes(hex)).reverse();
}
