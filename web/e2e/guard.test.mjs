// What people notice of the guard: nothing, or a sentence that says what happens and what to do next.
import assert from 'node:assert/strict';
import { scenario } from './lib/scenario.mjs';

const done = (...peers) => Promise.all(peers.map((peer) => peer.shown('done', 240_000)));

scenario('under pressure, both pages do their work by themselves, in a worker', async (scene) => {
  scene.allow(/Failed to load resource.*429/);
  const server = await scene.serve({ args: ['--work', 'always'] });
  const file = await scene.file('thesis.pdf', 100_000);
  const [sender, receiver] = await scene.pair(server, [file], { query: 'sink=download' });
  await receiver.accept();
  await done(sender, receiver);
  assert.equal((await receiver.downloaded()).sha256, file.sha256);
  const metrics = await (await fetch(`${server.origin}/metrics`)).text();
  const solved = Number(/^causeway_guard_work_solved_total (\d+)/m.exec(metrics)?.[1]);
  assert.ok(solved >= 4, `a session, a join and two negotiations were worked for, not ${solved}`);
  for (const peer of [sender, receiver]) {
    assert.ok(peer.requests.some((r) => /work-worker/.test(r.url)), `${peer.name} used no worker`);
  }
});

scenario('who has to wait hears why, and can stop', async (scene) => {
  const server = await scene.serve({ args: ['--rate-limit', '0.02', '--work', 'off'] });
  scene.allow(/Failed to load resource.*429/);
  const file = await scene.file('one.bin', 1000);
  const first = await scene.page('sender');
  await first.offer(server.origin, [file.path]);
  // The next one has to wait for its turn, hears why, and can stop waiting.
  const second = await scene.page('sender');
  await second.page.goto(server.origin);
  await second.id('files').setInputFiles([file.path]);
  await second.shown('delay', 30_000);
  await second.says(/The server is busy/);
  await second.page.getByRole('button', { name: 'Stop waiting' }).click();
  await second.says(/You have stopped it/);
});
