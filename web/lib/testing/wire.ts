/** Two engines, joined by channels in memory that behave like data channels: ordered, buffered, asynchronous. */
import { concat, type Bytes } from '../bytes';
import { parseControl, type ControlMessage } from '../protocol';
import type { Sink } from '../sink';
import type { SourceFile } from '../sending';
import type { Wire } from '../transfer';

/** What a browser refuses to buffer. */
const bufferAtMost = 16 << 20;
const perTurn = 512 << 10;

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Tampering: may change a message, or drop it (undefined). */
export interface Taps {
  control?(message: ControlMessage): ControlMessage | undefined;
  data?(bytes: Bytes): Bytes | undefined;
}

/** One direction of a link. `deliver` is set once the other engine exists. */
export class Lane implements Wire {
  controlled: ControlMessage[] = [];
  deliver: { control(m: ControlMessage | undefined): void; data(m: ArrayBuffer): void } | undefined;
  cut = false;
  highest = 0;
  #queue: Bytes[] = [];
  #buffered = 0;
  #pumping = false;
  #waiting: (() => void)[] = [];

  constructor(private readonly taps: Taps = {}) {}

  readonly data = this.#port();

  #port() {
    const lane = this;
    return {
      get bufferedAmount() {
        return lane.#buffered;
      },
      send: (bytes: Bytes) => lane.#send(bytes),
      drained: () =>
        lane.#buffered <= 256 << 10 || lane.cut ? Promise.resolve() : new Promise<void>((resolve) => lane.#waiting.push(resolve)),
    };
  }

  control(message: ControlMessage): void {
    if (this.cut) return;
    this.controlled.push(message);
    const tapped = this.taps.control ? this.taps.control(message) : message;
    const text = JSON.stringify(tapped);
    if (tapped) setImmediate(() => this.cut || this.deliver?.control(parseControl(text)));
  }

  #send(bytes: Bytes): void {
    if (this.cut) return;
    this.#queue.push(bytes.slice()); // a channel copies
    this.#buffered += bytes.length;
    this.highest = Math.max(this.highest, this.#buffered);
    if (this.#buffered > bufferAtMost) throw new Error('the channel is full');
    if (!this.#pumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#queue.length > 0) {
      await turn();
      for (let sent = 0; sent < perTurn && this.#queue.length > 0 && !this.cut; ) {
        const bytes = this.#queue.shift()!;
        sent += bytes.length;
        this.#buffered -= bytes.length;
        const tapped = this.taps.data ? this.taps.data(bytes) : bytes;
        if (tapped) this.deliver?.data(tapped.slice().buffer);
      }
      if (this.cut) this.#queue = [];
      if (this.#buffered <= 256 << 10) this.#waiting.splice(0).forEach((wake) => wake());
    }
    this.#pumping = false;
  }
}

/** Bytes that look random and depend on the position. */
export function content(size: number, seed = 1): Bytes {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size).slice();
}

export function sourceFile(name: string, bytes: Bytes): SourceFile {
  return { name, size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) };
}

/** Keeps what it gets; `hold` makes writes wait, `fail` makes a call throw. */
export class TestSink implements Sink {
  files: { name: string; parts: Bytes[]; bytes: Uint8Array; closed: boolean }[] = [];
  calls: string[] = [];
  aborted = 0;
  held = 0;
  hold: Promise<void> | undefined;
  fail: string | undefined;

  async #call(name: string): Promise<void> {
    this.calls.push(name);
    await turn();
    if (this.fail === name) throw new Error(`no ${name}`);
  }

  async begin(): Promise<void> {
    await this.#call('begin');
  }

  async open(file: { name: string }): Promise<void> {
    await this.#call('open');
    this.files.push({ name: file.name, parts: [], bytes: new Uint8Array(0), closed: false });
  }

  async write(bytes: Bytes): Promise<void> {
    await this.#call('write');
    await this.hold;
    this.files.at(-1)!.parts.push(bytes.slice());
  }

  async close(): Promise<void> {
    await this.#call('close');
    const file = this.files.at(-1)!;
    file.bytes = concat(...file.parts);
    file.closed = true;
  }

  async finish(): Promise<void> {
    await this.#call('finish');
  }

  async abort(): Promise<void> {
    this.aborted++;
  }
}
