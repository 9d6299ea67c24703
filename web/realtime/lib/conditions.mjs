/** Waiting for what happens, never for time. */

/** How long anything may take on a busy machine. */
export const patience = 180_000;

/** Rejects with `what()` unless `promise` settles in time. */
export async function within(what, promise, ms = patience) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what()} (waited ${ms / 1000} s)`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A list that can be waited for. */
export class Log {
  items = [];
  #lookers = new Set();

  add(item) {
    this.items.push(item);
    this.wake();
  }

  /** Has the waiting look again. */
  wake() {
    for (const look of [...this.#lookers]) look();
  }

  /** Resolves with what `find(items)` returns once that is not undefined. */
  async wait(what, find, ms) {
    let look;
    const found = new Promise((resolve, reject) => {
      look = () => {
        try {
          const value = find(this.items);
          if (value !== undefined) resolve(value);
        } catch (error) {
          reject(error);
        }
      };
    });
    this.#lookers.add(look);
    look();
    try {
      return await within(() => `no ${what} in ${this.items.length} entries: ${JSON.stringify(this.items.slice(-10)).slice(0, 2000)}`, found, ms);
    } finally {
      this.#lookers.delete(look);
    }
  }
}

/** Asks again and again until `probe` returns something truthy: for what tells nobody that it happened. */
export async function until(what, probe, ms = patience) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not ${what} (asked for ${ms / 1000} s)`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
