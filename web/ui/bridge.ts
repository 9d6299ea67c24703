/** What the causeway shows: the two shores apart, the line between them, and how far the bytes have come. */
import type { Path } from '../lib/path';

export type BridgeState = 'apart' | 'meeting' | 'joined' | 'broken' | 'done';

export interface Bridge {
  state: BridgeState;
  /** 0 to 1 */
  progress: number;
  path: Path | undefined;
}
