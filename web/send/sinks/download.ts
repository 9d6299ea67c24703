/** A streamed download by the service worker: docs/protocol.md §4.5, and the worker's side in sw/sw.ts. */
import { toBase64Url, type Bytes } from '../../lib/bytes';
import { randomBytes } from '../../lib/crypto';
import type { ByteSink } from '../../lib/sink';

const keepAliveMs = 10_000;
const openTimeoutMs = 30_000;
const startTimeoutMs = 5000;

/** Registers the worker and waits until it is active; rejects where the browser has none, or refuses. */
export async function startWorker(): Promise<ServiceWorker> {
  const registration = await navigator.serviceWorker.register('/sw.js', { scope: '/download/' });
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (!worker) throw new Error('the service worker did not start');
  if (worker.state !== 'activated') {
    await new Promise<void>((resolve, reject) => {
      worker.addEventListener('statechange', () => {
        if (worker.state === 'activated') resolve();
        if (worker.state === 'redundant') reject(new Error('the service worker did not start'));
      });
      setTimeout(() => reject(new Error('the service worker did not start in time')), startTimeoutMs);
    });
  }
  return worker;
}

export class DownloadCancelled extends Error {}

export class DownloadSink implements ByteSink {
  readonly #id = toBase64Url(randomBytes(16));
  readonly #channel = new MessageChannel();
  #pulls = 0;
  #failed: Error | undefined;
  #wake: () => void = () => {};
  #keepAlive: ReturnType<typeof setInterval> | undefined;
  #frame: HTMLIFrameElement | undefined;
  #over = false;

  constructor(
    private readonly worker: ServiceWorker,
    private readonly name: string,
    /** of the whole download, in bytes */
    private readonly size: number,
  ) {}

  /** Opens the download; resolves when the browser asks for its first bytes. */
  async begin(): Promise<void> {
    const { port1, port2 } = this.#channel;
    const registered = new Promise<void>((resolve) => {
      port1.onmessage = ({ data }: MessageEvent<'registered' | 'pull' | 'cancel'>) => {
        if (data === 'registered') resolve();
        else this.#message(data);
      };
    });
    navigator.serviceWorker.addEventListener('message', this.#onLost);
    this.worker.postMessage({ type: 'download', id: this.#id, name: this.name, size: this.size }, [port2]);
    this.#keepAlive = setInterval(() => this.worker.postMessage({ type: 'keep', id: this.#id }), keepAliveMs);
    const timeout = setTimeout(() => this.#fail(new Error('the browser did not start the download')), openTimeoutMs);
    try {
      await Promise.race([registered, this.#untilFailed()]);
      if (this.#failed) throw this.#failed;
      this.#frame = document.createElement('iframe');
      this.#frame.hidden = true;
      // Without the name: should the worker be gone, the server gets this request.
      this.#frame.src = `/download/${this.#id}`;
      document.body.append(this.#frame);
      await this.#pulled();
    } finally {
      clearTimeout(timeout);
    }
  }

  async write(bytes: Bytes): Promise<void> {
    await this.#pulled();
    this.#pulls--;
    this.#channel.port1.postMessage(bytes, [bytes.buffer]);
    await this.#pulled(); // the browser has taken it, and asks for more
  }

  async finish(): Promise<void> {
    await this.#pulled();
    this.#channel.port1.postMessage('end');
    this.#clean();
  }

  async abort(): Promise<void> {
    if (this.#over) return;
    this.#channel.port1.postMessage('abort');
    this.#fail(new Error('aborted'));
    this.#clean();
  }

  #message(data: 'pull' | 'cancel'): void {
    if (data === 'cancel') return this.#fail(new DownloadCancelled('the download was cancelled'));
    this.#pulls++;
    this.#wake();
  }

  readonly #onLost = ({ data }: MessageEvent<{ type?: string; id?: string }>): void => {
    if (data.type === 'lost' && data.id === this.#id) this.#fail(new Error('the browser has stopped the download'));
  };

  /** Waits for a pull that no chunk has answered yet. */
  async #pulled(): Promise<void> {
    while (this.#pulls === 0 && !this.#failed) await this.#woken();
    if (this.#failed) throw this.#failed;
  }

  async #untilFailed(): Promise<void> {
    while (!this.#failed) await this.#woken();
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#wake;
      this.#wake = () => {
        others();
        resolve();
      };
    });
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    this.#wake();
  }

  #clean(): void {
    this.#over = true;
    clearInterval(this.#keepAlive);
    navigator.serviceWorker.removeEventListener('message', this.#onLost);
    // Some browsers stop a download when its frame goes; by then it is on disk.
    const frame = this.#frame;
    setTimeout(() => frame?.remove(), openTimeoutMs);
  }
}
