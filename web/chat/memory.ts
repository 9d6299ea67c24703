/**
 * What a tab remembers of its room while the page is loaded again: in sessionStorage, which ends with the tab. It is taken out
 * when the page is there, and put back when it goes or is hidden; so a tab that is duplicated is another member.
 */
import { fromBase64Url, toBase64Url, type Bytes } from '../lib/bytes';
import { isCount, isRecord } from '../lib/protocol';
import { parseRegions } from '../lib/place';
import type { Membership } from '../lib/api';
import type { SavedRoom } from '../lib/chat/room';

const key = 'causeway.chat';
const seedSize = 32;

export interface Remembered {
  invite: string;
  member: Membership;
  seed: Bytes;
  name: string;
  room: SavedRoom;
}

/** What this tab knows of the room behind the invite; it knows it no more after that. */
export function recall(invite: string | undefined): Remembered | undefined {
  try {
    const text = sessionStorage.getItem(key);
    sessionStorage.removeItem(key);
    const v: unknown = JSON.parse(text ?? 'null');
    if (!isRecord(v) || v.invite !== invite || !isRecord(v.member) || !isRecord(v.room) || typeof v.name !== 'string') return undefined;
    const seed = typeof v.seed === 'string' ? fromBase64Url(v.seed) : undefined;
    const member = v.member as unknown as Membership;
    if (seed?.length !== seedSize || !isCount(member.expires) || member.expires * 1000 < Date.now()) return undefined;
    const home = { regions: parseRegions(member.regions), server: typeof member.server === 'string' ? member.server : '' };
    return { invite, member: { ...member, ...home }, seed, name: v.name, room: v.room as unknown as SavedRoom } as Remembered;
  } catch {
    return undefined; // no storage in this window, or it is full of something else
  }
}

export function remember(what: Remembered): void {
  try {
    sessionStorage.setItem(key, JSON.stringify({ ...what, seed: toBase64Url(what.seed) }));
  } catch {
    // The tab then comes back as somebody else.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // There is none.
  }
}
