/** The signaling connection of a room's member: that of a transfer's peers, and a way for what is sealed. */
import { fromBase64Url, toBase64Url, type Bytes } from '../bytes';
import { isRecord } from '../protocol';
import type { Place } from '../place';
import { HubSignaling, type SignalHandler, type Signaling } from '../signaling';
import { maxFrame } from './seal';

export interface RoomHandler extends SignalHandler {
  /** A frame that the server passed on. */
  sealed(from: string, frame: Bytes): void;
}

/** What a room needs; tests have their own. */
export interface RoomSignaling extends Signaling {
  sealed(to: string, frame: Bytes): void;
}

export class RoomHub extends HubSignaling implements RoomSignaling {
  protected override readonly numbersFrom = Date.now();

  constructor(grant: string, handler: RoomHandler, place?: Place) {
    super(grant, handler, undefined, place, {
      sealed: (event) => {
        if (!isRecord(event) || typeof event.from !== 'string' || typeof event.box !== 'string' || event.box.length > maxFrame * 1.5) return;
        const frame = fromBase64Url(event.box);
        if (frame) handler.sealed(event.from, frame);
      },
    });
  }

  sealed(to: string, frame: Bytes): void {
    this.invoke('sealed', { to, box: toBase64Url(frame) });
  }
}
