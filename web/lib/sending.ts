/**
 * The sending engine: one guest's transfer as the host sees it, docs/protocol.md §4.3 and §4.4.
 *
 * Two brakes hold it: the guest's credit (the disk there) and the channel's bufferedAmount (the network); timers
 * none. It reads and hashes two chunks ahead, and so holds three chunks and one message in memory at any size.
 */
import { equal, fromBase64Url, type Bytes } from './bytes';
import type { Sha256 } from './crypto';
import { DigestList } from './digest';
import {
  ChunkDigest, FileDigest, Piece, chunkSize, encodeFrame, manifestMessages, messageSize, pieceSize,
  type ControlMessage, type FileEntry, type FrameType, type Reason,
} from './protocol';
import type { Ending, Wire } from './transfer';

const highMark = 1 << 20;
const chunksAhead = 2;

/** A file to send; `read` rejects if the bytes are no longer to be had. */
export interface SourceFile extends FileEntry {
  read(offset: number, length: number): Promise<Bytes>;
}

/** `accepted` waits for the page's admission: start, queue or refuse. */
export type SendingPhase = 'offered' | 'accepted' | 'queued' | 'full' | 'running' | 'verifying' | 'done' | 'ended';

interface Job {
  index: number;
  offset: number;
  length: number;
  last: boolean;
}

function* jobs(files: readonly FileEntry[]): Generator<Job> {
  for (const [index, { size }] of files.entries()) {
    for (let offset = 0; offset === 0 || offset < size; offset += chunkSize) {
      const length = Math.min(chunkSize, size - offset);
      yield { index, offset, length, last: offset + length === size };
    }
  }
}

interface Loaded {
  job: Job;
  bytes: Bytes;
  digest: Bytes;
}

export class Sending {
  phase: SendingPhase = 'offered';
  ending: Ending | undefined;
  readonly total: number;
  #sent = 0;
  #credit = 0;
  #wake: () => void = () => {};
  #digests: Bytes[] = [];
  readonly #frame: Bytes = new Uint8Array(messageSize);

  /** `changed` is called after each change of phase, never during the constructor. */
  constructor(
    private readonly wire: Wire,
    private readonly files: readonly SourceFile[],
    private readonly sha256: Sha256,
    private readonly changed: () => void,
  ) {
    this.total = files.reduce((sum, file) => sum + file.size, 0);
  }

  /** Payload bytes that have left this machine's buffers. */
  get progress(): number {
    if (this.phase === 'verifying' || this.phase === 'done') return this.total;
    return Math.max(0, this.#sent - this.wire.data.bufferedAmount);
  }

  /** Tells the guest what there is. */
  offer(): void {
    const entries = this.files.map(({ name, size }) => ({ name, size }));
    for (const message of manifestMessages(entries)) this.wire.control(message);
  }

  start(): void {
    if (this.phase !== 'accepted' && this.phase !== 'queued') return;
    this.#enter('running');
    this.wire.control({ type: 'start' });
    this.#run().catch(() => this.#end({ by: 'me', cause: 'source' }));
  }

  queue(ahead: number): void {
    if (this.phase !== 'accepted' && this.phase !== 'queued') return;
    this.#enter('queued');
    this.wire.control({ type: 'queued', ahead });
  }

  refuse(): void {
    if (this.phase !== 'accepted') return;
    this.#enter('full');
    this.wire.control({ type: 'full' });
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
    this.#end({ by: 'peer', cause: 'lost' });
  }

  /** A message of the guest, already decoded; undefined stands for one that couldn't be. */
  onControl(message: ControlMessage | undefined): void {
    if (this.ending || this.phase === 'done') return;
    switch (message?.type) {
      case 'accept':
        if (this.phase !== 'offered' && this.phase !== 'full') break;
        return this.#enter('accepted');
      case 'credit':
        if (this.phase !== 'running' && this.phase !== 'verifying') break;
        this.#credit = Math.max(this.#credit, message.bytes);
        return this.#wake();
      case 'verified':
        if (this.phase !== 'verifying') break;
        return this.#confirm(message.digests);
      case 'cancel':
        return this.cancelled(message.reason);
    }
    this.cancel('protocol');
  }

  /** A guest has no business on the data channel. */
  onData(): void {
    this.cancel('protocol');
  }

  #confirm(digests: readonly string[]): void {
    const right = digests.length === this.#digests.length && this.#digests.every((own, i) => equal(own, fromBase64Url(digests[i]!)!));
    if (!right) return this.cancel('hash');
    this.wire.control({ type: 'done' });
    this.#enter('done');
  }

  async #run(): Promise<void> {
    let list = new DigestList();
    for await (const { job, bytes, digest } of this.#readAhead()) {
      if (job.length > 0) {
        await this.#sendChunk(job, bytes);
        await this.#send(ChunkDigest, job.index, job.offset, digest);
        list.add(digest);
      }
      if (!job.last) continue;
      const { size } = this.files[job.index]!;
      const whole = await list.file(this.sha256, size);
      list = new DigestList();
      this.#digests.push(whole);
      await this.#send(FileDigest, job.index, size, whole);
    }
    if (!this.ending) this.#enter('verifying');
  }

  async #sendChunk(job: Job, bytes: Bytes): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceSize) {
      const piece = bytes.subarray(at, at + pieceSize);
      while (!this.ending && this.#sent + piece.length > this.#credit) await this.#woken();
      await this.#send(Piece, job.index, job.offset + at, piece);
      this.#sent += piece.length;
    }
  }

  async #send(type: FrameType, file: number, offset: number, payload: Bytes): Promise<void> {
    while (!this.ending && this.wire.data.bufferedAmount >= highMark) await this.wire.data.drained();
    if (!this.ending) this.wire.data.send(encodeFrame(this.#frame, type, file, offset, payload));
  }

  async *#readAhead(): AsyncGenerator<Loaded> {
    const source = jobs(this.files);
    const ahead: Promise<Loaded>[] = [];
    const more = () => {
      const next = source.next();
      if (next.done) return;
      const loaded = this.#load(next.value);
      loaded.catch(() => {}); // reported when its turn comes
      ahead.push(loaded);
    };
    for (let i = 0; i <= chunksAhead; i++) more();
    for (let loaded = ahead.shift(); loaded && !this.ending; loaded = ahead.shift()) {
      yield await loaded;
      more();
    }
  }

  async #load(job: Job): Promise<Loaded> {
    if (job.length === 0) return { job, bytes: new Uint8Array(0), digest: new Uint8Array(0) };
    const bytes = await this.files[job.index]!.read(job.offset, job.length);
    if (bytes.length !== job.length) throw new Error('the file has changed');
    return { job, bytes, digest: await this.sha256(bytes) };
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #enter(phase: SendingPhase): void {
    this.phase = phase;
    this.changed();
  }

  #end(ending: Ending): void {
    if (this.ending || this.phase === 'done') return;
    this.ending = ending;
    if (ending.by === 'me' && ending.cause !== 'lost' && ending.cause !== 'unconfirmed') {
      this.wire.control({ type: 'cancel', reason: ending.cause });
    }
    this.#wake();
    this.#enter('ended');
  }
}
