/** What both engines share: the wire below them, how they end. */
import type { Bytes } from './bytes';
import type { ControlMessage, Reason } from './protocol';

/** The data channel as the sending engine sees it. `send` copies the bytes before it returns. */
export interface DataPort {
  readonly bufferedAmount: number;
  send(bytes: Bytes): void;
  /** Resolves when bufferedAmount has come down to the low mark, or the channel is closed. */
  drained(): Promise<void>;
}

/** Both channels of a verified link. After the link has closed, calls do nothing. */
export interface Wire {
  control(message: ControlMessage): void;
  readonly data: DataPort;
}

/**
 * Why a transfer ended without `done`. Beyond the reasons on the wire: `lost`, the link went away; `unconfirmed`, the
 * guest has everything and checked it, but the host's `done` never came.
 */
export type Cause = Reason | 'lost' | 'unconfirmed';

export interface Ending {
  by: 'me' | 'peer';
  cause: Cause;
}
