/** Waiting for conditions, never for time: every wait names what it waits for and says what it saw instead. */

/** Rejects with `describe()` unless `promise` settles within `ms`. */
export async function within(ms, describe, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${describe()} (waited ${ms / 1000} s)`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Calls `probe` until it returns something truthy, and returns that. For what has no event, such as /proc. */
export async function until(what, probe, { ms = 90_000, every = 50 } = {}) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() >= end) throw new Error(`${what}: not within ${ms / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** A promise with its handles. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    [resolve, reject] = [yes, no];
  });
  return { promise, resolve, reject };
}
