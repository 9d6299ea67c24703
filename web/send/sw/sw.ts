/**
 * The service worker: turns bytes that a page receives into a download which the browser streams to disk. It handles
 * /download/ only, stores nothing and caches nothing.
 *
 * The page registers a download with a MessagePort, opens its address in a frame, and then sends one chunk for each
 * `pull`. A pull comes from the browser's own reading, so a slow disk holds the page, and that the sender.
 */
export {};
declare const self: ServiceWorkerGlobalScope;

interface Download {
  port: MessagePort;
  name: string;
  size: number;
}

/** Registered and not yet opened; the oldest goes. */
const atMost = 16;
const waiting = new Map<string, Download>();
const running = new Set<string>();

self.addEventListener('install', () => void self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('message', (event) => {
  const { type, id, name, size } = event.data as { type: string; id: string; name: string; size: number };
  const [port] = event.ports;
  if (type === 'download' && port) {
    waiting.set(id, { port, name, size });
    if (waiting.size > atMost) waiting.delete(waiting.keys().next().value!);
    port.postMessage('registered');
  }
  // Messages keep this worker alive. One that was restarted in between has lost its streams, and says so.
  if (type === 'keep' && !waiting.has(id) && !running.has(id)) event.source?.postMessage({ type: 'lost', id });
});

self.addEventListener('fetch', (event) => {
  const [, folder, id] = new URL(event.request.url).pathname.split('/');
  if (folder === 'download' && id) event.respondWith(respond(id));
});

function respond(id: string): Response {
  const download = waiting.get(id);
  if (!download) return new Response('This download is over.', { status: 404 });
  waiting.delete(id);
  running.add(id);
  return new Response(stream(id, download.port), {
    headers: {
      'Content-Type': 'application/octet-stream',
      'Content-Length': String(download.size),
      'Content-Disposition': `attachment; filename*=UTF-8''${rfc5987(download.name)}`,
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'none'; sandbox",
    },
  });
}

/** RFC 5987 section 3.2.1: encodeURIComponent leaves four characters that must be encoded. */
function rfc5987(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function stream(id: string, port: MessagePort): ReadableStream<Uint8Array> {
  let pulled = () => {};
  const over = () => {
    running.delete(id);
    pulled();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        port.onmessage = ({ data }: MessageEvent<Uint8Array | 'end' | 'abort'>) => {
          if (data === 'abort') controller.error(new Error('the transfer has ended'));
          else if (data === 'end') controller.close();
          else controller.enqueue(data);
          if (typeof data === 'string') over();
          pulled();
        };
      },
      pull() {
        return new Promise<void>((resolve) => {
          pulled = resolve;
          port.postMessage('pull');
        });
      },
      cancel() {
        port.postMessage('cancel');
        over();
      },
    },
    // Nothing is asked for before the browser wants to write it.
    { highWaterMark: 0 },
  );
}
