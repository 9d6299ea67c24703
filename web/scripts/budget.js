// Weighs what a first visit loads, compressed, and fails above the budget. Each view of a page counts the page's entry,
// its own code and everything that these import statically or at once, scripts and styles.
import { readFileSync, rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const budget = 80 * 1024;
const dist = new URL('../../internal/web/dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));
const weigh = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;

function collect(key, files) {
  const chunk = manifest[key];
  if (files.has(chunk.file)) return files;
  files.add(chunk.file);
  for (const css of chunk.css ?? []) files.add(css);
  for (const other of chunk.imports ?? []) collect(other, files);
  return files;
}

// Needed here only; what lies in the folder is served.
rmSync(new URL('.vite/', dist), { recursive: true });

let failed = false;
for (const [page, view = page] of [['index.html', 'send/Sender.svelte'], ['index.html', 'send/Receiver.svelte'], ['chat.html'], ['stats.html'], ['demo.html'], ['admin.html']]) {
  const files = collect(view, collect(page, new Set([page])));
  let total = 0;
  for (const file of files) {
    const size = weigh(file);
    total += size;
    console.log(`  ${(size / 1024).toFixed(1).padStart(6)} KB  ${file}`);
  }
  console.log(`${view}: ${(total / 1024).toFixed(1)} KB gzip of ${budget / 1024} KB`);
  failed ||= total > budget;
}
if (failed) {
  console.error('the first load is above its budget');
  process.exit(1);
}
