import { createDecipheriv, createHash, createPrivateKey, createPublicKey, diffieHellman, hkdfSync, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from '../bytes';
import { Sealer, Window, identityOf, maxFrame, padTo, type Pair } from './seal';

interface Vector {
  session: string;
  secret: string;
  members: { peer: string; seed: string; publicKey: string; epoch: string }[];
  intro: { answers: string; needs: boolean; name: string; nonce: string; frame: string };
  linkSecret: string;
  frames: { body: string; counter: number; frame: string }[];
}

const vector = JSON.parse(readFileSync(new URL('../testdata/chat.json', import.meta.url), 'utf8')) as Vector;
const from64 = (text: string): Bytes => fromBase64Url(text)!;
const secret = from64(vector.secret);
const [ada, bob] = vector.members as [Vector['members'][number], Vector['members'][number]];

function sealer(member: typeof ada, over: { secret?: Bytes; session?: string; epoch?: Bytes } = {}): Sealer {
  return new Sealer(over.secret ?? secret, over.session ?? vector.session, member.peer, identityOf(from64(member.seed)), over.epoch ?? from64(member.epoch));
}

function pairs(): [Pair, Pair] {
  return [sealer(ada).pair(bob.peer, from64(bob.publicKey), from64(bob.epoch))!, sealer(bob).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!];
}

test('vectors: intros, frames and the secret of the channels', () => {
  expect(toBase64Url(identityOf(from64(ada.seed)).publicKey)).toBe(ada.publicKey);
  const { intro } = vector;
  const made = sealer(ada).intro(bob.peer, from64(intro.answers), intro.needs, intro.name, from64(intro.nonce));
  expect(toBase64Url(made)).toBe(intro.frame);
  expect(sealer(bob).openIntro(ada.peer, made)).toEqual({
    publicKey: from64(ada.publicKey), epoch: from64(ada.epoch), answers: from64(bob.epoch), needs: true, name: intro.name,
  });
  const [out, into] = pairs();
  expect(toBase64Url(out.linkSecret)).toBe(vector.linkSecret);
  expect(into.linkSecret).toEqual(out.linkSecret);
  for (const { body, frame } of vector.frames) {
    expect(toBase64Url(out.seal(body))).toBe(frame);
    expect(into.open(from64(frame))).toBe(body);
  }
});

/** The same by another implementation, from the words of docs/protocol.md §6. */
test('vectors: OpenSSL reads them', () => {
  const der = (prefix: string, raw: Bytes) => Buffer.from(concat(Buffer.from(prefix, 'hex'), raw));
  const hkdf = (ikm: Bytes, info: string) => new Uint8Array(hkdfSync('sha256', ikm, utf8(vector.session), utf8(info), 32));
  const decrypt = (key: Bytes, nonce: Bytes, aad: Bytes, sealed: Bytes) => {
    const cipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
    cipher.setAAD(aad, { plaintextLength: sealed.length - 16 });
    cipher.setAuthTag(sealed.subarray(-16));
    return new Uint8Array(Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]));
  };
  const publicKey = createPublicKey({ key: der('302a300506032b6570032100', from64(ada.publicKey)), format: 'der', type: 'spki' });

  const intro = from64(vector.intro.frame);
  const aad = utf8(`causeway/1 chat intro\n${vector.session}\n${ada.peer}\n${bob.peer}\n`);
  const plain = decrypt(hkdf(secret, 'causeway/1 chat intro'), intro.slice(1, 13), aad, intro.slice(13));
  expect(plain.subarray(0, 32)).toEqual(from64(ada.publicKey));
  expect(verify(null, concat(aad, plain.subarray(0, 65), plain.subarray(129)), publicKey, plain.subarray(65, 129))).toBe(true);
  expect(new TextDecoder().decode(plain.subarray(129)).trimEnd()).toBe(JSON.stringify({ name: vector.intro.name }));

  // X25519 of the Ed25519 keys: RFC 7748's scalar is the first half of the seed's SHA-512; u = (1 + y) / (1 − y).
  const shared = sharedByOpenSSL(from64(bob.seed), from64(ada.publicKey));
  const ikm = concat(secret, shared);
  expect(hkdf(ikm, 'causeway/1 chat link')).toEqual(from64(vector.linkSecret));
  const hex = (text: string) => Buffer.from(from64(text)).toString('hex');
  const key = hkdf(ikm, ['causeway/1 chat', ada.peer, hex(ada.epoch), bob.peer, hex(bob.epoch)].join('\n'));
  for (const { body, counter, frame } of vector.frames) {
    const bytes = from64(frame);
    expect(Buffer.from(bytes.subarray(0, 9)).toString('hex')).toBe(`02${counter.toString(16).padStart(16, '0')}`);
    const about = concat(utf8(`causeway/1 chat\n${vector.session}\n${ada.peer}\n${bob.peer}\n`), from64(ada.epoch), from64(bob.epoch), bytes.subarray(0, 9));
    const opened = decrypt(key, concat(new Uint8Array(4), bytes.subarray(1, 9)), about, bytes.slice(9));
    expect(verify(null, concat(about, opened.subarray(64)), publicKey, opened.subarray(0, 64))).toBe(true);
    expect((opened.length - 64) % padTo).toBe(0);
    expect(new TextDecoder().decode(opened.subarray(64)).trimEnd()).toBe(body);
  }
});

function sharedByOpenSSL(seed: Bytes, theirs: Bytes): Bytes {
  const p = 2n ** 255n - 19n;
  const little = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p;
    return result;
  };
  const y = little(theirs) & (2n ** 255n - 1n);
  const u = ((1n + y) * power((1n - y + p) % p, p - 2n)) % p;
  const point = Buffer.from(u.toString(16).padStart(64, '0'), 'hex').reverse();
  const scalar = Buffer.from(new Uint8Array(sha512(seed)).subarray(0, 32));
  const privateKey = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), scalar]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), point]), format: 'der', type: 'spki' });
  return new Uint8Array(diffieHellman({ privateKey, publicKey }));
}

function sha512(bytes: Bytes): Buffer {
  return createHash('sha512').update(bytes).digest();
}

test('a frame opens once, for whom it was made, in this room, this visit and no other', () => {
  const frame = pairs()[0].seal('{"type":"ping"}');
  const [out, into] = pairs();
  const others: Record<string, Pair> = {
    'the sender itself': out,
    'another room': sealer(bob, { session: 'another' }).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!,
    'another secret': sealer(bob, { secret: utf8('0123456789abcdef') }).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!,
    'a later visit of the receiver': sealer(bob, { epoch: utf8('0123456789abcdef') }).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!,
    'a later visit of the sender': sealer(bob).pair(ada.peer, from64(ada.publicKey), utf8('0123456789abcdef'))!,
    'another sender': sealer(bob).pair('CCCCCCCCCCA', from64(ada.publicKey), from64(ada.epoch))!,
    'another receiver': sealer({ ...bob, peer: 'CCCCCCCCCCA' }).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!,
    'another member with the link': sealer({ ...bob, seed: toBase64Url(new Uint8Array(32).fill(9)) }).pair(ada.peer, from64(ada.publicKey), from64(ada.epoch))!,
  };
  for (const [what, pair] of Object.entries(others)) expect(pair.open(frame), what).toBeUndefined();
  expect(into.open(frame)).toBe('{"type":"ping"}');
  expect(into.open(frame), 'a replay').toBeUndefined();
});

test('a member with the link can’t speak for another', () => {
  // Eve knows the secret and everything public, and has made a pair in Ada's name with a key of her own.
  const eve = identityOf(new Uint8Array(32).fill(7));
  const forged = new Sealer(secret, vector.session, ada.peer, eve, from64(ada.epoch)).pair(bob.peer, from64(bob.publicKey), from64(bob.epoch))!;
  expect(pairs()[1].open(forged.seal('{"type":"bye"}'))).toBeUndefined();
});

test('every changed bit of a frame or an intro is noticed', () => {
  const frame = pairs()[0].seal('{}');
  const intro = from64(vector.intro.frame);
  const [, into] = pairs();
  for (let at = 0; at < frame.length; at += 3) {
    const bad = frame.slice();
    bad[at]! ^= 1 << at % 8;
    expect(into.open(bad), `bit of byte ${at}`).toBeUndefined();
  }
  for (let at = 0; at < intro.length; at += 3) {
    const bad = intro.slice();
    bad[at]! ^= 1 << at % 8;
    expect(sealer(bob).openIntro(ada.peer, bad), `bit of byte ${at}`).toBeUndefined();
  }
  for (const bad of [new Uint8Array(0), frame.slice(0, 20), new Uint8Array(maxFrame + 1).fill(2), intro.slice(0, 100)]) {
    expect(into.open(bad)).toBeUndefined();
    expect(sealer(bob).openIntro(ada.peer, bad)).toBeUndefined();
  }
});

test('an intro is for one receiver, and is fresh for the page that it answers only', () => {
  const intro = sealer(ada).intro(bob.peer, from64(bob.epoch), false, 'Ada');
  const opened = sealer(bob).openIntro(ada.peer, intro)!;
  expect(sealer(bob).isFresh(opened)).toBe(true);
  expect(sealer(bob, { epoch: utf8('0123456789abcdef') }).isFresh(opened)).toBe(false);
  expect(sealer(bob).openIntro('CCCCCCCCCCA', intro)).toBeUndefined();
  expect(sealer({ ...bob, peer: 'CCCCCCCCCCA' }).openIntro(ada.peer, intro)).toBeUndefined();
  expect(sealer(bob, { secret: utf8('0123456789abcdef') }).openIntro(ada.peer, intro)).toBeUndefined();
  expect(sealer(ada).openIntro(bob.peer, sealer({ ...ada, peer: bob.peer }).intro(ada.peer, undefined, true, 'me')), 'one’s own key').toBeUndefined();
});

test('public keys that are no points, or of small order, make no pair', () => {
  for (const key of [new Uint8Array(32), new Uint8Array(32).fill(255), Uint8Array.of(1, ...new Uint8Array(31)), new Uint8Array(31)]) {
    expect(sealer(ada).pair(bob.peer, key, from64(bob.epoch))).toBeUndefined();
  }
});

test('frames may come in any order within the window, once each', () => {
  const [out, into] = pairs();
  const frames = Array.from({ length: 40 }, (_, i) => out.seal(`{"i":${i}}`));
  for (const i of [...frames.keys()].reverse()) expect(into.open(frames[i]!)).toBe(`{"i":${i}}`);
  for (const frame of frames) expect(into.open(frame)).toBeUndefined();
});

test('the window forgets, and refuses what it has forgotten', () => {
  const window = new Window();
  let state = 1;
  const seen = new Set<number>();
  for (let i = 1; i < 5000; i++) {
    state = (state * 48271) % 2147483647;
    const counter = Math.max(1, i - (state % 1500));
    const late = counter <= Math.max(0, ...[...seen].slice(-1500)) - 1024;
    if (!window.has(counter)) {
      expect(seen.has(counter)).toBe(false);
      seen.add(counter);
      window.add(counter);
    } else expect(seen.has(counter) || late).toBe(true);
  }
});
