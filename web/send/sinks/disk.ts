/** Sinks of the File System Access API: straight into the file or folder that the user picked. */
import type { Bytes } from '../../lib/bytes';
import { numbered } from '../../lib/names';
import type { FileEntry } from '../../lib/protocol';
import type { Sink } from '../../lib/sink';

declare global {
  interface Window {
    showSaveFilePicker?(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
    showDirectoryPicker?(options: { id: string; mode: 'readwrite' }): Promise<FileSystemDirectoryHandle>;
  }
  interface FileSystemFileHandle {
    /** Chromium's; not in the standard yet */
    remove?(): Promise<void>;
  }
}

/** One file. Bytes go to a file aside, which takes the place of the picked one when it is complete. */
export class FileSink implements Sink {
  #stream: FileSystemWritableFileStream | undefined;
  #mine: Promise<boolean>;

  constructor(private readonly handle: FileSystemFileHandle) {
    // The picker makes an empty file; one that has content was the user's before.
    this.#mine = handle.getFile().then((file) => file.size === 0, () => false);
  }

  async begin(): Promise<void> {
    await this.#mine;
    this.#stream = await this.handle.createWritable();
  }

  async open(): Promise<void> {}

  async write(bytes: Bytes): Promise<void> {
    await this.#stream!.write(bytes);
  }

  async close(): Promise<void> {
    await this.#stream!.close();
  }

  async finish(): Promise<void> {}

  async abort(): Promise<void> {
    await this.#stream?.abort().catch(() => {});
    if (await this.#mine) await this.handle.remove?.().catch(() => {});
  }
}

/** Several files in a folder, beside what is there: nothing is overwritten. */
export class FolderSink implements Sink {
  #stream: FileSystemWritableFileStream | undefined;
  #made: string[] = [];

  constructor(private readonly folder: FileSystemDirectoryHandle) {}

  async begin(): Promise<void> {}

  async open(file: FileEntry): Promise<void> {
    const name = await this.#free(file.name);
    const handle = await this.folder.getFileHandle(name, { create: true });
    this.#made.push(name);
    this.#stream = await handle.createWritable();
  }

  async write(bytes: Bytes): Promise<void> {
    await this.#stream!.write(bytes);
  }

  async close(): Promise<void> {
    await this.#stream!.close();
  }

  async finish(): Promise<void> {}

  async abort(): Promise<void> {
    await this.#stream?.abort().catch(() => {});
    for (const name of this.#made) await this.folder.removeEntry(name).catch(() => {});
  }

  async #free(name: string): Promise<string> {
    for (let n = 0; ; n++) {
      const candidate = numbered(name, n);
      if (!(await this.#exists(candidate))) return candidate;
    }
  }

  async #exists(name: string): Promise<boolean> {
    try {
      await this.folder.getFileHandle(name);
      return true;
    } catch (error) {
      // A folder of that name is in the way, too; anything else is for the write to report.
      return error instanceof DOMException && error.name === 'TypeMismatchError';
    }
  }
}
