// A real file from one browser to another, on every path: what lands on the disk is what was picked, and the receiver's
// memory stays flat meanwhile. memory.soak.mjs compares it for 200 MB and 1 GB.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { makeFile } from './lib/files.mjs';
import { cpuSeconds, ownPss, watchPss } from './lib/processes.mjs';
import { scenario } from './lib/scenario.mjs';

// 200 MB and a bit, so that the last chunk and the last message are short ones. In the shape on Azure, which bytes of files
// never pass, less says as much about it.
const size = (process.env.CAUSEWAY_E2E_SHAPE === 'functions' ? 20e6 : 200e6) + 123_457;
// Of all processes of the receiver's browser, above the moment before Accept; bytes of PSS, without the pages of files,
// as other tests' browsers come and go beside this one.
const risesAtMost = 200e6;
// Some virtual machines move 2 MB/s between two browsers, with or without Causeway.
const patience = 400_000;
let dir, file;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'causeway-e2e-'));
  file = await makeFile(dir, 'holiday pictures.tar', size);
});
after(() => rm(dir, { recursive: true, force: true }));

const pairs = [['chromium', 'chromium'], ['chromium', 'firefox'], ['firefox', 'chromium']];
for (const [from, to] of pairs) {
  for (const path of ['direct', 'relay']) {
    scenario(`${size} bytes from ${from} to ${to}, ${path}`, async (scene) => {
      const server = await scene.serve();
      const [sender, receiver] = await Promise.all([scene.own('sender', from), scene.own('receiver', to, { profile: to === 'chromium' })]);
      const query = path === 'relay' ? 'relay=only' : '';

      const link = await sender.offer(server.origin, [file.path], query);
      await receiver.visit(link, `${query}&sink=download`);
      await receiver.shown('accept');
      await receiver.browser.unobserved();
      const pids = { sender: sender.browser.pid, receiver: receiver.browser.pid, server: server.child.pid };
      const cpuBefore = Object.values(pids).map(cpuSeconds);
      const memoryBefore = ownPss(pids.receiver);
      const memory = watchPss(pids.receiver, 1000, ownPss);
      const start = performance.now();
      try {
        await receiver.accept();
        await Promise.all([sender.shown('done', patience), receiver.shown('done', patience)]);
      } finally {
        memory.stop();
      }
      const rise = memory.stop() - memoryBefore;
      const seconds = (performance.now() - start) / 1000;
      const cpu = Object.entries(pids).map(([name, pid], i) => `${name} ${(cpuSeconds(pid) - cpuBefore[i]).toFixed(1)} s`);
      scene.info(`${from} → ${to}, ${path}: ${(size / 1e6 / seconds).toFixed(1)} MB/s in ${seconds.toFixed(1)} s; CPU: ${cpu.join(', ')}; `
        + `receiver's memory +${Math.round(rise / 1e6)} MB`);

      assert.ok(rise <= risesAtMost, `the receiver's memory rose by ${rise} bytes`);
      assert.equal(await sender.path(), path, 'the path that the sender shows');
      assert.equal(await receiver.path(), path, 'the path that the receiver shows');
      const got = await receiver.downloaded();
      assert.equal(got.name, file.name);
      assert.equal(got.sha256, file.sha256, 'SHA-256 of the file on disk');
    });
  }
}
