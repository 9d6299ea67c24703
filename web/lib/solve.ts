/** Solves a proof of work without holding up the page: in a worker, or where there is none, a little at a time. */
import { Work } from './work';

/** Hashes of a slice on the main thread: some milliseconds. */
const slice = 2048;

/** Resolves to the solution's text; rejects with the signal's reason, or if it is no challenge. */
export function solve(challenge: string, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  new Work(challenge); // throws here and not in the worker
  let worker: Worker;
  try {
    worker = new Worker(new URL('./work-worker.ts', import.meta.url), { type: 'module' });
  } catch {
    return inSlices(challenge, signal);
  }
  return new Promise<string>((resolve, reject) => {
    const end = () => {
      worker.terminate();
      signal?.removeEventListener('abort', cancel);
    };
    const cancel = () => {
      end();
      reject(signal!.reason as Error);
    };
    signal?.addEventListener('abort', cancel);
    worker.onmessage = ({ data }: MessageEvent<string>) => {
      end();
      resolve(data);
    };
    worker.onerror = () => { // it could not be loaded
      end();
      inSlices(challenge, signal).then(resolve, reject);
    };
    worker.postMessage(challenge);
  });
}

async function inSlices(challenge: string, signal?: AbortSignal): Promise<string> {
  const work = new Work(challenge);
  while (!work.run(slice)) {
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
  }
  return work.text();
}
