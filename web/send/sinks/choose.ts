/**
 * Which sink a page uses: by what the browser has, never by what it calls itself.
 *
 *   disk      File System Access: flat memory, several files as they are
 *   download  service worker: flat memory, several files as one zip
 *   memory    anything else; at most 256 MiB
 */
import { MemorySink, memoryLimit } from '../../lib/memory-sink';
import type { FileEntry } from '../../lib/protocol';
import type { ByteSink, Sink } from '../../lib/sink';
import { SingleSink, ZipSink, zipLength } from '../../lib/stream-sink';
import { FileSink, FolderSink } from './disk';
import { DownloadSink, startWorker } from './download';

export type SinkKind = 'disk' | 'download' | 'memory';

export const zipName = 'files.zip';

/** What this page can do; `worker` is there if the kind is `download`. */
export interface Abilities {
  kind: SinkKind;
  worker: ServiceWorker | undefined;
}

/** `wanted` is the query parameter `sink`. */
export async function findAbilities(wanted: string | null): Promise<Abilities> {
  const disk = 'showSaveFilePicker' in window && 'showDirectoryPicker' in window;
  return disk && wanted !== 'download' ? { kind: 'disk', worker: undefined } : findStream();
}

async function findStream(): Promise<Abilities> {
  // Browsers without (plain http, some private windows) have no serviceWorker, or refuse to register one.
  const worker = 'serviceWorker' in navigator ? await startWorker().catch(() => undefined) : undefined;
  return { kind: worker ? 'download' : 'memory', worker };
}

export function fits(kind: SinkKind, total: number): boolean {
  return kind !== 'memory' || total <= memoryLimit;
}

/** Asks the user where to, if that is for the user to say. Call it in a click. Undefined: the user thought better of it. */
export async function openSink(abilities: Abilities, files: readonly FileEntry[]): Promise<Sink | undefined> {
  if (abilities.kind !== 'disk') return streamed(abilities, files);
  try {
    if (files.length === 1) return new FileSink(await window.showSaveFilePicker!({ suggestedName: files[0]!.name }));
    return new FolderSink(await window.showDirectoryPicker!({ id: 'causeway', mode: 'readwrite' }));
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined;
    // A browser that has the picker and forbids it (by policy, or in a frame) may still download.
    const stream = await findStream();
    if (!fits(stream.kind, total(files))) throw error;
    return streamed(stream, files);
  }
}

function total(files: readonly FileEntry[]): number {
  return files.reduce((sum, file) => sum + file.size, 0);
}

function streamed({ worker }: Abilities, files: readonly FileEntry[]): Sink {
  const single = files.length === 1 ? files[0] : undefined;
  const name = single?.name ?? zipName;
  const size = single?.size ?? zipLength(files);
  const bytes: ByteSink = worker ? new DownloadSink(worker, name, size) : new MemorySink((blob) => save(blob, name));
  return single ? new SingleSink(bytes) : new ZipSink(bytes);
}

function save(blob: Blob, name: string): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  // The browser reads it in its own time.
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}
