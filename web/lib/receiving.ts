/**
 * The receiving engine: one transfer as the guest sees it, docs/protocol.md §4.3 and §4.4.
 *
 * Messages are checked and copied into a chunk's buffer as they come; whole chunks are hashed at once and written one
 * after another. Credit is granted as chunks reach the sink, so what is held never exceeds the credit window.
 */
import { equal, free, toBase64Url, type Bytes } from './bytes';
import type { Sha256 } from './crypto';
import { DigestList } from './digest';
import { safeNames } from './names';
import {
  ChunkDigest, FileDigest, Piece, chunkSize, creditWindow, decodeFrame, isCount, maxFiles,
  type ControlMessage, type FileEntry, type Frame, type Reason,
} from './protocol';
import type { Sink } from './sink';
import type { Ending, Wire } from './transfer';

/** Grants are bundled for small files; far below the window, so the host never runs dry for it. */
const grantStep = 512 << 10;
const poolSize = creditWindow / chunkSize;

export type ReceivingPhase = 'listing' | 'offered' | 'asking' | 'queued' | 'full' | 'running' | 'closing' | 'done' | 'ended';

export class Receiving {
  phase: ReceivingPhase = 'listing';
  ending: Ending | undefined;
  /** Safe names, all different; complete from the phase `offered` on. */
  files: FileEntry[] = [];
  total = 0;
  /** While queued: how many are served before. */
  ahead = 0;
  /** Payload bytes that the sink has taken. */
  written = 0;
  /** What the sink threw, for the page to explain. */
  failure: unknown;

  #sink: Sink | undefined;
  #granted = 0;
  #received = 0;
  /** The sink's work, strictly in order. */
  #tail: Promise<void> = Promise.resolve();
  #pool: Bytes[] = [];
  #index = 0;
  #offset = 0;
  #chunk: Bytes | undefined;
  #filled = 0;
  #list = new DigestList();
  #digests: string[] = [];
  #finished = false;

  /** `changed` is called after each change of phase, never during the constructor. */
  constructor(
    private readonly wire: Wire,
    private readonly sha256: Sha256,
    private readonly changed: () => void,
  ) {}

  /** Asks for a seat. The sink is begun when the host starts, and aborted if the transfer ends otherwise. */
  accept(sink: Sink): void {
    if (this.phase !== 'offered' && this.phase !== 'full') {
      void sink.abort();
      return;
    }
    this.#sink = sink;
    this.wire.control({ type: 'accept' });
    this.#enter('asking');
  }

  cancel(reason: Reason = 'user'): void {
    this.#end({ by: 'me', cause: reason });
  }

  /** The peer's cancel came by signaling. */
  cancelled(reason: Reason): void {
    this.#end({ by: 'peer', cause: reason });
  }

  /** The link has closed. */
  lost(): void {
    this.#end({ by: 'peer', cause: this.#finished ? 'unconfirmed' : 'lost' });
  }

  /** A message of the host, already decoded; undefined stands for one that couldn't be. */
  onControl(message: ControlMessage | undefined): void {
    if (this.ending || this.phase === 'done') return;
    switch (message?.type) {
      case 'manifest':
        if (this.phase !== 'listing') break;
        return this.#manifest(message.files, message.last);
      case 'queued':
        if (this.phase !== 'asking' && this.phase !== 'queued') break;
        this.ahead = message.ahead;
        return this.#enter('queued');
      case 'full':
        if (this.phase !== 'asking') break;
        return this.#refused();
      case 'start':
        if (this.phase !== 'asking' && this.phase !== 'queued') break;
        return this.#begin();
      case 'done':
        if (!this.#finished) break;
        return this.#enter('done');
      case 'cancel':
        return this.cancelled(message.reason);
    }
    this.cancel('protocol');
  }

  onData(message: unknown): void {
    if (this.ending) return;
    const frame = decodeFrame(message);
    const right = frame && this.phase === 'running' && frame.file === this.#index && this.#take(frame);
    if (right) free(message as ArrayBuffer); // what is kept was copied
    else this.cancel('protocol');
  }

  #manifest(files: FileEntry[], last: boolean): void {
    this.files.push(...files);
    this.total = this.files.reduce((sum, file) => sum + file.size, 0);
    if (this.files.length > maxFiles || !isCount(this.total) || (last && this.files.length === 0)) return this.cancel('protocol');
    if (!last) return;
    const names = safeNames(this.files.map((file) => file.name));
    this.files = this.files.map((file, i) => ({ name: names[i]!, size: file.size }));
    this.#enter('offered');
  }

  #refused(): void {
    void this.#sink?.abort();
    this.#sink = undefined;
    this.#enter('full');
  }

  #begin(): void {
    this.#enter('running');
    this.#then(async (sink) => {
      await sink.begin();
      this.#grant();
    });
  }

  /** Puts one frame where it belongs; false if it isn't the next one that the rules allow. */
  #take(frame: Frame): boolean {
    const size = this.files[this.#index]?.size;
    if (size === undefined) return false;
    switch (frame.type) {
      case Piece:
        return this.#takePiece(frame, size);
      case ChunkDigest:
        return this.#takeChunkDigest(frame);
      case FileDigest:
        return this.#takeFileDigest(frame, size);
    }
  }

  #takePiece({ offset, payload }: Frame, size: number): boolean {
    this.#received += payload.length;
    if (this.#received > this.#granted || offset !== this.#offset + this.#filled || offset >= size) return false;
    if (!this.#chunk) {
      if (this.#offset === 0) this.#open();
      this.#chunk = this.#buffer(Math.min(chunkSize, size - this.#offset));
    }
    if (this.#filled + payload.length > this.#chunk.length) return false;
    this.#chunk.set(payload, this.#filled);
    this.#filled += payload.length;
    return true;
  }

  #takeChunkDigest({ offset, payload }: Frame): boolean {
    const chunk = this.#chunk;
    if (!chunk || this.#filled !== chunk.length || offset !== this.#offset) return false;
    const want = payload.slice();
    const got = this.sha256(chunk);
    got.catch(() => {}); // reported when its turn comes
    this.#list.add(want);
    this.#offset += chunk.length;
    this.#chunk = undefined;
    this.#filled = 0;
    this.#then(async (sink) => {
      if (!equal(await got, want)) return this.cancel('hash');
      const { length } = chunk;
      await sink.write(chunk);
      this.#release(chunk);
      this.written += length;
      this.#grant();
    });
    return true;
  }

  #takeFileDigest({ offset, payload }: Frame, size: number): boolean {
    if (offset !== size || this.#offset !== size || this.#chunk) return false;
    if (size === 0) this.#open();
    const want = payload.slice();
    const list = this.#list;
    this.#list = new DigestList();
    this.#offset = 0;
    this.#index++;
    this.#then(async (sink) => {
      if (!equal(await list.file(this.sha256, size), want)) return this.cancel('hash');
      await sink.close();
      this.#digests.push(toBase64Url(want));
    });
    if (this.#index === this.files.length) this.#finish();
    return true;
  }

  #open(): void {
    const file = this.files[this.#index]!;
    this.#then((sink) => sink.open(file));
  }

  #finish(): void {
    this.#enter('closing');
    this.#then(async (sink) => {
      await sink.finish();
      this.#finished = true;
      this.wire.control({ type: 'verified', digests: this.#digests });
    });
  }

  /** Queues work on the sink; what it throws ends the transfer. */
  #then(work: (sink: Sink) => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      if (this.ending) return;
      try {
        await work(this.#sink!);
      } catch (error) {
        this.failure ??= error;
        this.cancel('disk');
      }
    });
  }

  #grant(): void {
    const bytes = this.written + creditWindow;
    if (this.ending || bytes - this.#granted < grantStep) return;
    this.#granted = bytes;
    this.wire.control({ type: 'credit', bytes });
  }

  #buffer(length: number): Bytes {
    return (length === chunkSize && this.#pool.pop()) || new Uint8Array(length);
  }

  /** Takes a buffer back, unless the sink has kept it (then it is detached and empty). */
  #release(chunk: Bytes): void {
    if (chunk.length === chunkSize && this.#pool.length < poolSize) this.#pool.push(chunk);
  }

  #enter(phase: ReceivingPhase): void {
    this.phase = phase;
    this.changed();
  }

  #end(ending: Ending): void {
    if (this.ending || this.phase === 'done') return;
    this.ending = ending;
    if (ending.by === 'me' && ending.cause !== 'lost' && ending.cause !== 'unconfirmed') {
      this.wire.control({ type: 'cancel', reason: ending.cause });
    }
    if (ending.cause !== 'unconfirmed') void this.#sink?.abort();
    this.#pool = [];
    this.#chunk = undefined;
    this.#enter('ended');
  }
}
