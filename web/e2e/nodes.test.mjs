// Relay nodes elsewhere, and browsers: a file goes through one, which is told to end, then through another, which is killed; it
// arrives through the third. What is pushed when is in internal/acceptance.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { scenario } from './lib/scenario.mjs';
import { Run, causeway, lanAddress } from './lib/server.mjs';

const env = { CAUSEWAY_SIGNING_KEY: 'env:CAUSEWAY_E2E_KEY', CAUSEWAY_E2E_KEY: Buffer.alloc(32, 7).toString('base64') };

/** A port that is likely to be free still when the server listens there: server and nodes have to know each other's. */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function node(scene, name, control) {
  const { stdout } = await causeway(['node', 'key', name], { env });
  const run = new Run(
    ['relay', '--node-key=env:NODE_KEY', `--control=${control}`, '--control-listen=127.0.0.1:0', `--turn-listen=${lanAddress()}:0`, '--data-dir', join(await scene.directory(), 'data')],
    { env: { NODE_KEY: stdout.trim() } },
  );
  scene.onClose(() => run.stop());
  run.url = await run.output('its interface', () => /interface is (\S+)[^]*Ctrl-C/.exec(run.stdout)?.[1]);
  await run.output('a try to reach its control plane', () => /not reached|is reached/.test(run.stderr));
  return run;
}

scenario('a relay node drains, the next is killed, on the way from chromium to firefox', async (scene) => {
  const port = await freePort();
  const control = `http://127.0.0.1:${port}`;
  const names = ['first', 'second', 'third'];
  const nodes = await Promise.all(names.map((name) => node(scene, name, control)));
  const config = join(await scene.directory(), 'causeway.yaml');
  await writeFile(config, `relay_node:\n${nodes.map(({ url }, i) => `- {name: ${names[i]}, url: "${url}"}\n`).join('')}`);
  const server = await scene.serve({ listen: `localhost:${port}`, turnListen: 'off', args: ['--config', config], env });
  for (const one of nodes) await one.output('its control plane', () => /the control plane is reached/.test(one.stderr));

  const [sender, receiver] = await Promise.all([scene.own('sender', 'chromium'), scene.own('receiver', 'firefox')]);
  const file = await scene.file('across.bin', 120_000_000);
  await receiver.visit(await sender.offer(server.origin, [file.path], 'relay=only'), 'relay=only');
  await receiver.accept();
  await receiver.says(/[1-9]\d? ?%/);
  const moved = (from) => server.output('the pair moved', () => new RegExp(`pairs were given another relay.*from=${from}`).test(server.stderr));
  // Told to end, it waits until both have moved away: nothing is cut.
  assert.deepEqual(await nodes[0].stop(), { code: 0, signal: null });
  assert.match(nodes[0].stderr, /draining.*allocations=[1-9]/);
  assert.doesNotMatch(nodes[0].stderr, /allocations are cut/);
  await moved('first');
  nodes[1].child.kill('SIGKILL');
  await nodes[1].finished();
  await moved('second');
  await Promise.all([sender.shown('done'), receiver.shown('done')]);
  for (const peer of [sender, receiver]) assert.equal(await peer.path(), 'relay', `the path that the ${peer.name} shows`);
});
