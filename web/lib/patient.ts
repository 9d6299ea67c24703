/**
 * Requests of somebody who can wait (docs/protocol.md §2.1): when the server asks for a proof of work, it is done; when it says
 * that it is busy and when to come back, that is waited for, if it is soon. What takes longer is an error, with a time.
 */
import { isRecord } from './protocol';
import { solve } from './solve';

/** `code` is the server's, or `unreachable` if it didn't answer, or `bad_answer`. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 0,
    /** Seconds until trying again may help, if the server said so. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Why a request takes long: the page calculates, or waits till the server has time. */
export type Delay = 'working' | 'waiting';

/** A request that takes longer than a moment. */
export interface Delayed {
  delay: Delay;
  /** Gives it up; missing if it goes on by itself anyway. */
  cancel: (() => void) | undefined;
}

/** What a page is told: what takes long; undefined: nothing any more. */
export type DelayListener = (delayed: Delayed | undefined) => void;

/** People hear of a delay when it is one. */
const tellAfterMs = 1500;
/** What a wait is worth it to do for them, in seconds, and how often. */
const waitAtMost = 60;
const triesAtMost = 6;
/** A region that does not answer is given up, as there are others. */
const answerWithinMs = 8000;

/** Delays of all requests of this page, so that one place can show them. */
class Delays {
  #listeners = new Set<DelayListener>();
  #running = new Set<Delayed>();

  listen(listener: DelayListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Runs something that may take long. */
  async during<T>(delayed: Delayed, run: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#running.add(delayed);
      this.#tell();
    }, tellAfterMs);
    try {
      return await run();
    } finally {
      clearTimeout(timer);
      if (this.#running.delete(delayed)) this.#tell();
    }
  }

  #tell(): void {
    const delayed = [...this.#running].at(-1);
    for (const listener of this.#listeners) listener(delayed);
  }
}

export const delays = new Delays();

export interface Options {
  signal?: AbortSignal | undefined;
  /** Who calls goes on by itself after an error, so there is nothing to cancel for people. */
  persistent?: boolean;
}

/** Posts JSON and returns the answer's. People can give it up: that is the error `cancelled`. */
export async function post(path: string, body: object, grant?: string, { signal, persistent }: Options = {}): Promise<Record<string, unknown>> {
  signal?.throwIfAborted();
  const mine = new AbortController();
  const pass = () => mine.abort(signal?.reason);
  signal?.addEventListener('abort', pass);
  const cancel = persistent ? undefined : () => mine.abort(new ApiError('cancelled', 'it was given up'));
  try {
    return await patiently(path, body, grant, mine.signal, cancel);
  } finally {
    signal?.removeEventListener('abort', pass);
  }
}

async function patiently(path: string, body: object, grant: string | undefined, signal: AbortSignal, cancel: (() => void) | undefined): Promise<Record<string, unknown>> {
  let solution: string | undefined;
  for (let tries = 1; ; tries++) {
    const { response, answer } = await ask(path, body, grant, signal, solution);
    if (response.ok) return answer;
    const error = refusal(response, answer);
    if (tries >= triesAtMost) throw error;
    solution = undefined;
    if (error.code === 'work_required' && typeof answer.work === 'string') {
      const challenge = answer.work;
      solution = await delays.during({ delay: 'working', cancel }, () => solve(challenge, signal));
    } else if ((error.status === 429 || error.status === 503) && error.retryAfter !== undefined && error.retryAfter <= waitAtMost) {
      // Not all at once, when all were told the same.
      const ms = error.retryAfter * 1000 * (1 + Math.random() / 2);
      await delays.during({ delay: 'waiting', cancel }, () => pause(ms, signal));
    } else throw error;
  }
}

async function ask(path: string, body: object, grant: string | undefined, signal: AbortSignal, solution?: string): Promise<{ response: Response; answer: Record<string, unknown> }> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (grant) headers.Authorization = `Bearer ${grant}`;
  if (solution) headers['Causeway-Work'] = solution;
  let response: Response;
  let answer: unknown;
  try {
    response = await soon(path, fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal }));
    answer = await response.json();
  } catch {
    signal.throwIfAborted();
    throw new ApiError('unreachable', 'the server does not answer');
  }
  if (!isRecord(answer)) throw new ApiError('bad_answer', 'the server gave an answer that makes no sense', response.status);
  return { response, answer };
}

/** Bounds the wait for one of several regions; the page's own server has all the time that it wants. */
function soon<T>(path: string, answer: Promise<T>): Promise<T> {
  if (path.startsWith('/')) return answer;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), answerWithinMs);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

function refusal(response: Response, answer: Record<string, unknown>): ApiError {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
  return new ApiError(String(answer.code ?? 'internal'), String(answer.message ?? response.status), response.status, retryAfter);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', cancel);
      resolve();
    }, ms);
    const cancel = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', cancel, { once: true });
  });
}
