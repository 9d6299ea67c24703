/**
 * Scripts for pages: a picker can't be clicked by a test, so it gives a file or folder of the origin's private file
 * system, which is written by the same calls as the user's own. Nothing else is replaced.
 */
import { until } from './conditions.mjs';

/** `window.picked` is the handle that was given last. */
export function stubPickers() {
  window.showSaveFilePicker = async ({ suggestedName } = {}) => {
    const root = await navigator.storage.getDirectory();
    window.picked = await root.getFileHandle(suggestedName || 'picked', { create: true });
    return window.picked;
  };
  window.showDirectoryPicker = async () => {
    const root = await navigator.storage.getDirectory();
    window.picked = await root.getDirectoryHandle('picked', { create: true });
    return window.picked;
  };
}

/** The disk stands still from the second write on, until `window.openGate()`. */
export function gateWrites() {
  const open = new Promise((resolve) => {
    window.openGate = resolve;
  });
  const write = FileSystemWritableFileStream.prototype.write;
  window.writes = 0;
  FileSystemWritableFileStream.prototype.write = async function (...args) {
    if (++window.writes > 1) await open;
    return write.apply(this, args);
  };
}

/** A slow disk: 120 ms a write, which is 8 MiB/s. */
export function slowWrites() {
  const write = FileSystemWritableFileStream.prototype.write;
  FileSystemWritableFileStream.prototype.write = async function (...args) {
    await new Promise((resolve) => setTimeout(resolve, 120));
    return write.apply(this, args);
  };
}

/** {name: content's size} of what the picked file or folder holds; runs in the page. */
export async function pickedSizes() {
  const sizes = {};
  const handles = window.picked.kind === 'directory' ? window.picked.values() : [window.picked];
  for await (const handle of handles) {
    try {
      sizes[handle.name] = (await handle.getFile()).size;
    } catch {
      // removed
    }
  }
  return sizes;
}

/** {name: hex SHA-256} of the same; runs in the page, on secure origins. */
export async function pickedDigests() {
  const digests = {};
  const handles = window.picked.kind === 'directory' ? window.picked.values() : [window.picked];
  for await (const handle of handles) {
    const sum = await crypto.subtle.digest('SHA-256', await (await handle.getFile()).arrayBuffer());
    digests[handle.name] = [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, '0')).join('');
  }
  return digests;
}

/** Waits until nothing is left of what a receiver had begun to store; a page tells its user first, and then cleans up. */
export async function nothingKept(receiver) {
  await until(`${receiver.name} keeps nothing`, async () => Object.keys(await receiver.page.evaluate(pickedSizes)).length === 0);
}
