// The receiver's memory doesn't grow with the file. It is the summed PSS of all processes of the receiver's own browser,
// against the moment before Accept. It moves 3.6 GB, so `make bench` runs it.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { makeFile, sha256Of } from './lib/files.mjs';
import { stubPickers } from './lib/pickers.mjs';
import { pss, watchPss } from './lib/processes.mjs';
import { scenario } from './lib/scenario.mjs';

const mib = 2 ** 20;
const risesAtMost = 200e6;
const differsAtMost = 32e6;
const sizes = { '200 MB': 200e6, '1 GB': 1e9 };
let dir;
const files = {};

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'causeway-e2e-'));
  for (const [name, size] of Object.entries(sizes)) files[name] = await makeFile(dir, `${name}.bin`, size);
});
after(() => rm(dir, { recursive: true, force: true }));

/** SHA-256 of what was written, calculated on this side: the page downloads it as any page may. */
async function digestOfPicked(receiver) {
  const [download] = await Promise.all([
    receiver.page.waitForEvent('download'),
    receiver.page.evaluate(async () => {
      const a = document.createElement('a');
      a.href = URL.createObjectURL(await window.picked.getFile());
      a.download = 'picked';
      a.click();
    }),
  ]);
  return sha256Of(await download.path());
}

async function measure(scene, { kind, sink, file }) {
  const server = await scene.serve();
  const [sender, receiver] = await Promise.all([
    scene.own('sender', 'chromium', { profile: true }),
    scene.own('receiver', kind, { profile: kind === 'chromium' }),
  ]);
  if (sink === 'file') await receiver.page.addInitScript(stubPickers);
  const link = await sender.offer(server.origin, [file.path]);
  await receiver.visit(link, sink === 'download' ? 'sink=download' : '');
  await receiver.shown('accept');

  await receiver.browser.unobserved();
  const before = { sender: pss(sender.browser.pid), receiver: pss(receiver.browser.pid) };
  const watches = { sender: watchPss(sender.browser.pid), receiver: watchPss(receiver.browser.pid) };
  const start = performance.now();
  let rises;
  try {
    await receiver.accept();
    await Promise.all([sender.shown('done', 1_200_000), receiver.shown('done', 1_200_000)]);
  } finally {
    rises = Object.fromEntries(Object.entries(watches).map(([who, watch]) => [who, watch.stop() - before[who]]));
  }
  const seconds = (performance.now() - start) / 1000;
  const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;
  scene.info(`${file.name}: receiver ${kind}, ${sink}: ${mb(before.receiver)} + ${mb(rises.receiver)}; `
    + `sender chromium: ${mb(before.sender)} + ${mb(rises.sender)}; ${(file.size / 1e6 / seconds).toFixed(1)} MB/s`);
  const got = sink === 'file' ? await digestOfPicked(receiver) : (await receiver.downloaded()).sha256;
  assert.equal(got, file.sha256, 'SHA-256 of the file on disk');
  return rises.receiver;
}

for (const [kind, sink] of [['chromium', 'download'], ['chromium', 'file'], ['firefox', 'download']]) {
  const rise = {};
  for (const name of Object.keys(sizes)) {
    scenario(`memory of ${kind}, ${sink}, ${name}`, async (scene) => {
      rise[name] = await measure(scene, { kind, sink, file: files[name] });
      assert.ok(rise[name] <= risesAtMost, `rose by ${rise[name] / mib} MiB`);
      if (rise['1 GB'] === undefined || rise['200 MB'] === undefined) return;
      const differs = Math.abs(rise['1 GB'] - rise['200 MB']);
      assert.ok(differs <= differsAtMost, `200 MB: ${rise['200 MB'] / mib} MiB, 1 GB: ${rise['1 GB'] / mib} MiB`);
    });
  }
}
