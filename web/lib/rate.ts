/** Speed and time left: the slope over the last few seconds, so that a stall shows soon and a burst doesn't jump. */

const windowMs = 5000;
const minimumMs = 400;
const samplesAtMost = 64;

export class Rate {
  #samples: { at: number; bytes: number }[] = [];

  /** bytes is the total so far, now in milliseconds of any steady clock. */
  add(bytes: number, now: number): void {
    const last = this.#samples.at(-1);
    // One sample in 100 ms is enough, and bounds the list.
    if (last && now - last.at < windowMs / samplesAtMost) {
      last.bytes = bytes;
      return;
    }
    this.#samples.push({ at: now, bytes });
    while (this.#samples.length > 2 && now - this.#samples[1]!.at > windowMs) this.#samples.shift();
  }

  /** Bytes a second; undefined until there is enough to tell. */
  perSecond(now: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || now - first.at < minimumMs) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (now - first.at);
  }

  /** Seconds until total is reached; undefined while nothing moves. */
  secondsLeft(total: number, now: number): number | undefined {
    const rate = this.perSecond(now);
    const last = this.#samples.at(-1);
    return rate && last ? (total - last.bytes) / rate : undefined;
  }
}
