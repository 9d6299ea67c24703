/**
 * The proof of work (docs/protocol.md §2.1): what a page computes before the server does something for it while very many
 * ask. Here is the arithmetic; `solve.ts` runs it in a worker.
 */
import { fromBase64Url, toBase64Url } from './bytes';
import { firstWord } from './sha-block';

const challengeSize = 32;
const version = 1;
/** Puzzles of a challenge. */
export const parts = 16;
/** What is harder is no challenge of an honest server: four times what ours ever asks for. */
const hardest = 1 << 18;

export class Work {
  readonly each: number;
  readonly #block = new Int32Array(64);
  readonly #solved: number[] = [];
  #next = 0;

  /** Throws if the text is no challenge. */
  constructor(private readonly challenge: string) {
    const bytes = fromBase64Url(challenge);
    if (bytes?.length !== challengeSize || bytes[0] !== version) throw new Error('the server asked for a calculation that this page does not know');
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    this.each = view.getUint32(4);
    if (this.each < 1 || this.each > hardest) throw new Error('the server asked for too long a calculation');
    for (let i = 0; i < challengeSize / 4; i++) this.#block[i] = view.getInt32(4 * i);
    // The padding of a message of 40 bytes.
    this.#block[10] = 0x80000000 | 0;
    this.#block[15] = 320;
  }

  /** How many parts are done. */
  get done(): number {
    return this.#solved.length;
  }

  /** Does at most so many hashes. True when all is done. */
  run(atMost: number): boolean {
    const block = this.#block;
    const limit = 2 ** 32;
    for (let n = 0; n < atMost && this.done < parts; n++) {
      block[8] = this.done;
      block[9] = this.#next;
      if (firstWord(block) * this.each < limit) {
        this.#solved.push(this.#next);
        this.#next = 0;
      } else this.#next++;
    }
    return this.done === parts;
  }

  /** The text that the server wants to see. */
  text(): string {
    const bytes = new Uint8Array(4 * parts);
    const view = new DataView(bytes.buffer);
    this.#solved.forEach((n, i) => view.setUint32(4 * i, n));
    return `${this.challenge}.${toBase64Url(bytes)}`;
  }
}
