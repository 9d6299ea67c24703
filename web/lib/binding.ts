/**
 * The binding MAC, docs/protocol.md §4.2: it ties both DTLS fingerprints to the link's secret, so that a server
 * which only relays the signaling can't sit in the middle.
 */
import { equal, fromBase64Url, toBase64Url, utf8, type Bytes } from './bytes';
import { deriveKey, hmacSha256 } from './crypto';

export type Role = 'host' | 'guest';

/** What both sides must agree on. Fingerprints are in the canonical form of `fingerprints`. */
export interface Transcript {
  session: string;
  hostPeer: string;
  hostFingerprints: string;
  guestPeer: string;
  guestFingerprints: string;
}

export function bindKey(secret: Bytes, session: string): Bytes {
  return deriveKey(secret, session, 'causeway/1 bind');
}

/** The MAC that the peer of this role sends. */
export function bindMac(key: Bytes, sender: Role, t: Transcript): string {
  const lines = ['causeway/1 bind', sender, t.session, t.hostPeer, t.hostFingerprints, t.guestPeer, t.guestFingerprints];
  return toBase64Url(hmacSha256(key, utf8(lines.join('\n'))));
}

export function verifyMac(key: Bytes, sender: Role, t: Transcript, mac: string): boolean {
  const got = fromBase64Url(mac);
  const want = fromBase64Url(bindMac(key, sender, t))!;
  // A description without a fingerprint binds nothing.
  return got !== undefined && t.hostFingerprints !== '' && t.guestFingerprints !== '' && equal(got, want);
}

/**
 * All distinct `a=fingerprint` values of a description (RFC 8122 section 5), hash in lower case, value in upper
 * case, sorted and joined by commas; empty if there is none or one is malformed.
 */
export function fingerprints(sdp: string): string {
  const found = new Set<string>();
  for (const line of sdp.split(/\r\n|\r|\n/)) {
    if (!/^a=fingerprint:/i.test(line)) continue;
    const match = /^a=fingerprint:[ \t]*([!-~]+)[ \t]+([0-9a-f]{2}(?::[0-9a-f]{2})*)[ \t]*$/i.exec(line);
    if (!match) return '';
    found.add(`${match[1]!.toLowerCase()} ${match[2]!.toUpperCase()}`);
  }
  return [...found].sort().join(',');
}
