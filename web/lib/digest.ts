/** The digest of a file, docs/protocol.md §4.4: SHA-256 over its size and the digests of its chunks. */
import { concat, utf8, type Bytes } from './bytes';
import type { Sha256 } from './crypto';
import { digestSize } from './protocol';

/** Collects chunk digests in order: 32 bytes a MiB, so 1 TiB costs 32 MiB. */
export class DigestList {
  #bytes: Bytes = new Uint8Array(digestSize * 64);
  #length = 0;

  add(digest: Uint8Array): void {
    if (this.#length + digest.length > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(digest, this.#length);
    this.#length += digest.length;
  }

  /** size is the file's, in bytes. */
  async file(sha256: Sha256, size: number): Promise<Bytes> {
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(size));
    return sha256(concat(utf8('causeway/1 file\n'), length, this.#bytes.subarray(0, this.#length)));
  }
}
