import { createHmac, hkdfSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bindKey, bindMac, fingerprints, verifyMac, type Transcript } from './binding';
import { fromBase64Url, utf8 } from './bytes';
import vectors from './testdata/bind.json';

describe.each(vectors.cases)('$name', (v) => {
  const transcript: Transcript = v;
  const key = bindKey(fromBase64Url(v.secret)!, v.session);

  test('agrees with the vectors', () => {
    expect(fingerprints(`v=0\r\n${v.hostSdp.join('\r\n')}\r\n`)).toBe(v.hostFingerprints);
    expect(fingerprints(v.guestSdp.join('\n'))).toBe(v.guestFingerprints);
    expect(Buffer.from(key).toString('hex')).toBe(v.key);
    expect(bindMac(key, 'host', transcript)).toBe(v.hostMac);
    expect(bindMac(key, 'guest', transcript)).toBe(v.guestMac);
  });

  test('the vectors agree with node:crypto', () => {
    const secret = Buffer.from(v.secret, 'base64url');
    const own = Buffer.from(hkdfSync('sha256', secret, v.session, 'causeway/1 bind', 32));
    expect(own.toString('hex')).toBe(v.key);
    for (const role of ['host', 'guest'] as const) {
      const text = `causeway/1 bind\n${role}\n${v.session}\n${v.hostPeer}\n${v.hostFingerprints}\n${v.guestPeer}\n${v.guestFingerprints}`;
      const mac = createHmac('sha256', own).update(text).digest('base64url');
      expect(mac).toBe(role === 'host' ? v.hostMac : v.guestMac);
    }
  });

  test('verifies the right MAC and no other', () => {
    expect(verifyMac(key, 'host', transcript, v.hostMac)).toBe(true);
    expect(verifyMac(key, 'guest', transcript, v.guestMac)).toBe(true);
    expect(verifyMac(key, 'guest', transcript, v.hostMac)).toBe(false); // reflected
    expect(verifyMac(key, 'host', transcript, v.hostMac.slice(0, -1))).toBe(false);
    expect(verifyMac(key, 'host', transcript, '')).toBe(false);
    for (const field of ['session', 'hostPeer', 'hostFingerprints', 'guestPeer', 'guestFingerprints'] as const) {
      expect(verifyMac(key, 'host', { ...transcript, [field]: `${transcript[field]}x` }, v.hostMac)).toBe(false);
    }
    const other = bindKey(utf8('another secret!!'), v.session);
    expect(verifyMac(other, 'host', transcript, v.hostMac)).toBe(false);
  });
});

test('a description without fingerprints never verifies', () => {
  const key = bindKey(utf8('0123456789abcdef'), 's');
  const transcript = { session: 's', hostPeer: 'h', guestPeer: 'g', hostFingerprints: '', guestFingerprints: 'sha-256 AA' };
  expect(verifyMac(key, 'host', transcript, bindMac(key, 'host', transcript))).toBe(false);
});

test('malformed fingerprints count as none', () => {
  expect(fingerprints('a=fingerprint:sha-256 AA:BB\r\na=fingerprint:sha-256 nonsense\r\n')).toBe('');
  expect(fingerprints('a=fingerprint:sha-256\r\n')).toBe('');
  expect(fingerprints('v=0\r\n')).toBe('');
});
