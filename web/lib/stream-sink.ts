/** Sinks for files over one stream of bytes: a single file as it is, several as one zip. */
import { makeZip, predictLength } from 'client-zip';
import type { Bytes } from './bytes';
import type { FileEntry } from './protocol';
import type { ByteSink, Sink } from './sink';

/** One file, one stream. */
export class SingleSink implements Sink {
  constructor(private readonly inner: ByteSink) {}
  begin = () => this.inner.begin();
  open = async () => {};
  write = (bytes: Bytes) => this.inner.write(bytes);
  close = async () => {};
  finish = () => this.inner.finish();
  abort = () => this.inner.abort();
}

/** The length of the zip that ZipSink writes, in bytes. */
export function zipLength(files: readonly FileEntry[]): number {
  return Number(predictLength(files));
}

interface Entry {
  name: string;
  size: number;
  input: AsyncIterable<Bytes>;
}

/**
 * Several files as one zip, not compressed, made as they come. client-zip pulls; this turns its pulling round: the
 * generators below wait for the engine's calls, and a call returns when the zip has been written on past it.
 */
export class ZipSink implements Sink {
  #calls: ((call: Entry | Bytes | undefined) => void) | undefined;
  #waiting: { value: Entry | Bytes | undefined; taken: () => void } | undefined;
  #pump: Promise<void> | undefined;
  #written: { bytes: Bytes; resolve: () => void; reject: (e: unknown) => void } | undefined;
  #failed: unknown;
  #aborted = false;

  constructor(private readonly inner: ByteSink) {}

  async begin(): Promise<void> {
    await this.inner.begin();
    this.#pump = this.#run();
    this.#pump.catch((error: unknown) => {
      this.#failed = error ?? new Error('the zip failed');
      this.#written?.reject(this.#failed);
      this.#waiting?.taken();
    });
  }

  async open(file: FileEntry): Promise<void> {
    await this.#give({ ...file, input: this.#input() });
  }

  async write(bytes: Bytes): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.#written = { bytes, resolve, reject };
    });
    written.catch(() => {});
    await this.#give(bytes);
    await written;
  }

  async close(): Promise<void> {
    await this.#give(undefined);
  }

  async finish(): Promise<void> {
    await this.#give(undefined);
    await this.#pump;
    await this.inner.finish();
  }

  async abort(): Promise<void> {
    this.#aborted = true;
    this.#failed ??= new Error('aborted');
    await this.inner.abort();
    this.#written?.reject(this.#failed);
    this.#waiting?.taken();
    this.#calls?.(undefined);
  }

  async #run(): Promise<void> {
    const reader = makeZip(this.#entries()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (this.#aborted) return void (await reader.cancel());
      const part = value as Bytes;
      const call = this.#written;
      await this.inner.write(part);
      if (part === call?.bytes) call.resolve();
    }
  }

  async *#entries(): AsyncGenerator<Entry> {
    for (let entry = await this.#take(); entry; entry = await this.#take()) yield entry as Entry;
  }

  async *#input(): AsyncGenerator<Bytes> {
    for (let bytes = await this.#take(); bytes; bytes = await this.#take()) yield bytes as Bytes;
  }

  /** Hands a call to whichever generator waits for one, and resolves when it has been taken. */
  async #give(value: Entry | Bytes | undefined): Promise<void> {
    if (this.#failed === undefined) {
      await new Promise<void>((taken) => {
        if (this.#calls) {
          this.#calls(value);
          this.#calls = undefined;
          taken();
        } else {
          this.#waiting = { value, taken };
        }
      });
    }
    if (this.#failed !== undefined) throw this.#failed;
  }

  #take(): Promise<Entry | Bytes | undefined> {
    if (this.#aborted) return Promise.resolve(undefined);
    if (this.#waiting) {
      const { value, taken } = this.#waiting;
      this.#waiting = undefined;
      taken();
      return Promise.resolve(value);
    }
    return new Promise((resolve) => {
      this.#calls = resolve;
    });
  }
}
