/**
 * How members of a room seal what they tell each other, docs/protocol.md §6.1 and §6.2.
 *
 * Two members first introduce themselves, under a key that everybody with the link has: who I am, my public key, and a random
 * epoch of this page. After that each direction of the pair has a key of its own, from the link's secret and the two public keys,
 * for these two epochs. So a frame belongs to one room, one sender, one receiver, two visits and one counter: what is
 * replayed, in this visit or from an earlier one, opens nowhere. Every frame is signed as well, by the sender's key.
 *
 * Pages on plain http have no WebCrypto and no browser that we promise lacks none of Ed25519, hence @noble.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { concat, equal, utf8, type Bytes } from '../bytes';
import { deriveKey, randomBytes } from '../crypto';
import { publicKeyOf, shared, sign, verify } from './keys';

export const keySize = 32;
export const epochSize = 16;
const signatureSize = 64;
const nonceSize = 12;
const tagSize = 16;
const counterSize = 8;
const introHead = keySize + 2 * epochSize + 1 + signatureSize;
/** Bodies are padded to multiples of this, so that their sizes say little. */
export const padTo = 128;
/** Of one frame in bytes; as base64url it is what the server passes. */
export const maxFrame = 18 << 10;
/** How far behind the newest a frame may come. */
const windowSize = 1024;

const introType = 1;
const frameType = 2;

/** One member's own keys. */
export interface Identity {
  seed: Bytes;
  publicKey: Bytes;
}

export function identityOf(seed: Bytes): Identity {
  return { seed, publicKey: publicKeyOf(seed) };
}

/** What a member tells of itself before anything else. */
export interface Intro {
  publicKey: Bytes;
  /** of the sender's page */
  epoch: Bytes;
  /** the epoch of the receiver's page that the sender has seen; zeros: none */
  answers: Bytes;
  /** The sender has no answer to its own epoch yet. */
  needs: boolean;
  name: string;
}

function pad(text: string): Bytes {
  const bytes = utf8(text);
  const padded = new Uint8Array(Math.ceil((bytes.length + 1) / padTo) * padTo).fill(0x20);
  padded.set(bytes);
  return padded;
}

function unpad(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).trimEnd();
  } catch {
    return undefined;
  }
}

const lines = (...parts: string[]): Bytes => utf8(parts.map((part) => `${part}\n`).join(''));

function counterBytes(counter: number): Bytes {
  const bytes = new Uint8Array(counterSize);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(counter));
  return bytes;
}

function open(key: Bytes, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Bytes | undefined {
  try {
    return new Uint8Array(chacha20poly1305(key, nonce, aad).decrypt(sealed));
  } catch {
    return undefined;
  }
}

/** What one member can do before it knows another: introduce itself, and make a pair. */
export class Sealer {
  readonly #introKey: Bytes;

  constructor(
    private readonly secret: Bytes,
    readonly session: string,
    readonly peer: string,
    private readonly identity: Identity,
    /** of this page; never used again */
    readonly epoch: Bytes = randomBytes(epochSize),
  ) {
    this.#introKey = deriveKey(secret, session, 'causeway/1 chat intro');
  }

  intro(to: string, answers: Bytes | undefined, needs: boolean, name: string, nonce: Bytes = randomBytes(nonceSize)): Bytes {
    const { publicKey, seed } = this.identity;
    const aad = lines('causeway/1 chat intro', this.session, this.peer, to);
    const head = concat(publicKey, this.epoch, answers ?? new Uint8Array(epochSize), Uint8Array.of(needs ? 1 : 0));
    const body = pad(JSON.stringify({ name }));
    const signature = sign(concat(aad, head, body), seed);
    const sealed = chacha20poly1305(this.#introKey, nonce, aad).encrypt(concat(head, signature, body));
    return concat(Uint8Array.of(introType), nonce, sealed);
  }

  /** Opens an intro of `from` to this member; undefined if it isn't one. */
  openIntro(from: string, frame: Uint8Array): Intro | undefined {
    if (frame[0] !== introType || frame.length > maxFrame || frame.length < 1 + nonceSize + introHead + tagSize) return undefined;
    const aad = lines('causeway/1 chat intro', this.session, from, this.peer);
    const plain = open(this.#introKey, frame.subarray(1, 1 + nonceSize), aad, frame.subarray(1 + nonceSize));
    if (!plain) return undefined;
    const head = plain.subarray(0, introHead - signatureSize);
    const signature = plain.subarray(introHead - signatureSize, introHead);
    const body = plain.subarray(introHead);
    const publicKey = plain.slice(0, keySize);
    if (equal(publicKey, this.identity.publicKey) || !verify(signature, concat(aad, head, body), publicKey)) return undefined;
    const name = nameIn(unpad(body));
    if (name === undefined) return undefined;
    const at = keySize + epochSize;
    return { publicKey, epoch: plain.slice(keySize, at), answers: plain.slice(at, at + epochSize), needs: head.at(-1) === 1, name };
  }

  /** True if the intro was made for this page, and is no replay from an earlier one. */
  isFresh(intro: Intro): boolean {
    return equal(intro.answers, this.epoch);
  }

  /** Undefined if the other's public key is of no use. */
  pair(peer: string, publicKey: Bytes, epoch: Bytes): Pair | undefined {
    try {
      return new Pair(concat(this.secret, shared(this.identity.seed, publicKey)), this, this.identity, { peer, publicKey, epoch });
    } catch {
      return undefined;
    }
  }
}

function nameIn(body: string | undefined): string | undefined {
  try {
    const { name } = JSON.parse(body ?? '') as { name?: unknown };
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Remembers counters: each counts once, and what is older than the window not at all. */
export class Window {
  #newest = 0;
  #seen = new Set<number>();

  has(counter: number): boolean {
    return counter <= this.#newest - windowSize || this.#seen.has(counter);
  }

  add(counter: number): void {
    this.#seen.add(counter);
    if (counter <= this.#newest) return;
    this.#newest = counter;
    if (this.#seen.size < 2 * windowSize) return;
    for (const one of this.#seen) if (one <= this.#newest - windowSize) this.#seen.delete(one);
  }
}

interface Other {
  peer: string;
  publicKey: Bytes;
  epoch: Bytes;
}

/** Two members in one visit of each. */
export class Pair {
  /** For the binding of their channels, in the place of the link's secret. */
  readonly linkSecret: Bytes;
  readonly #out: Bytes;
  readonly #in: Bytes;
  /** How many frames were not the other's, or not for this visit. */
  garbled = 0;
  #counter = 0;
  #window = new Window();

  constructor(
    secret: Bytes,
    private readonly me: Pick<Sealer, 'session' | 'peer' | 'epoch'>,
    private readonly identity: Identity,
    private readonly other: Other,
  ) {
    this.linkSecret = deriveKey(secret, me.session, 'causeway/1 chat link');
    this.#out = deriveKey(secret, me.session, ascii('causeway/1 chat', me, other));
    this.#in = deriveKey(secret, me.session, ascii('causeway/1 chat', other, me));
  }

  /** `body` is JSON, of at most about 17 KiB. */
  seal(body: string): Bytes {
    const head = concat(Uint8Array.of(frameType), counterBytes(++this.#counter));
    const aad = concat(lines('causeway/1 chat', this.me.session, this.me.peer, this.other.peer), this.me.epoch, this.other.epoch, head);
    const padded = pad(body);
    const signature = sign(concat(aad, padded), this.identity.seed);
    return concat(head, chacha20poly1305(this.#out, nonceOf(head), aad).encrypt(concat(signature, padded)));
  }

  /** The body; undefined if the frame isn't the other's for this visit, or was opened before. */
  open(frame: Uint8Array): string | undefined {
    const headSize = 1 + counterSize;
    if (frame[0] !== frameType || frame.length > maxFrame || frame.length < headSize + signatureSize + tagSize) return undefined;
    const head = frame.slice(0, headSize);
    const counter = Number(new DataView(head.buffer).getBigUint64(1));
    if (!Number.isSafeInteger(counter) || this.#window.has(counter)) return undefined;
    const aad = concat(lines('causeway/1 chat', this.me.session, this.other.peer, this.me.peer), this.other.epoch, this.me.epoch, head);
    const plain = open(this.#in, nonceOf(head), aad, frame.subarray(headSize));
    const padded = plain?.subarray(signatureSize);
    if (!plain || !padded || !verify(plain.subarray(0, signatureSize), concat(aad, padded), this.other.publicKey)) {
      this.garbled++;
      return undefined;
    }
    this.#window.add(counter);
    return unpad(padded);
  }
}

const nonceOf = (head: Uint8Array): Bytes => concat(new Uint8Array(nonceSize - counterSize), head.subarray(1));

function ascii(label: string, from: { peer: string; epoch: Bytes }, to: { peer: string; epoch: Bytes }): string {
  const hex = (bytes: Bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return [label, from.peer, hex(from.epoch), to.peer, hex(to.epoch)].join('\n');
}
