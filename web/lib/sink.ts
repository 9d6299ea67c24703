/** Where received bytes go: a file on disk, a streamed download, or memory. The page chooses, the engine writes. */
import type { Bytes } from './bytes';
import type { FileEntry } from './protocol';

/**
 * Calls come one after another and each waits for the one before, except `abort`, which may come at any time, also
 * twice and after `finish`: it makes a pending call reject, deletes what was written where that can be done, and
 * never rejects itself.
 */
export interface Sink {
  /** Once, before all else: the download or folder is open when it resolves. */
  begin(): Promise<void>;
  /** The next file of the manifest. */
  open(file: FileEntry): Promise<void>;
  /**
   * Resolves when the bytes are on disk, or handed to whoever writes them; only then the caller reuses the buffer.
   * The sink may take the buffer for itself by transferring it.
   */
  write(bytes: Bytes): Promise<void>;
  /** The open file is complete and its digest was right. */
  close(): Promise<void>;
  /** All files are closed. */
  finish(): Promise<void>;
  abort(): Promise<void>;
}

/** A place for one stream of bytes of known length, which other sinks build on. */
export interface ByteSink {
  begin(): Promise<void>;
  write(bytes: Bytes): Promise<void>;
  finish(): Promise<void>;
  abort(): Promise<void>;
}
