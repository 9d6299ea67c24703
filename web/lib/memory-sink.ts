/** A sink that keeps everything in memory: for pages that have no other, and therefore bounded. */
import type { Bytes } from './bytes';
import type { ByteSink } from './sink';

/** 256 MiB: phones kill a tab at about twice that. */
export const memoryLimit = 256 << 20;

export class MemorySink implements ByteSink {
  #parts: Bytes[] = [];

  /** `deliver` gets the whole when all is verified. */
  constructor(private readonly deliver: (blob: Blob) => void) {}

  async begin(): Promise<void> {}

  async write(bytes: Bytes): Promise<void> {
    this.#parts.push(bytes.slice());
  }

  async finish(): Promise<void> {
    this.deliver(new Blob(this.#parts, { type: 'application/octet-stream' }));
    this.#parts = [];
  }

  async abort(): Promise<void> {
    this.#parts = [];
  }
}
