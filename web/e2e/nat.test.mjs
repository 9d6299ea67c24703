// Browsers behind routers that allow no direct path: the relay is asked for, and the file arrives. All kinds of routers, with
// peers that are no browsers, are in internal/nattest.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scenario } from './lib/scenario.mjs';

const script = fileURLToPath(new URL('../../scripts/nat.sh', import.meta.url));
const prefix = `e${process.pid}`;
const nat = (...args) => promisify(execFile)(script, args);

before(() => nat('up', prefix, 'symmetric', 'noudp'));
after(() => nat('down', prefix));

for (const [a, b] of [['symmetric', 'symmetric'], ['noudp', 'symmetric']]) {
  scenario(`from a browser behind a router of kind ${a} to one behind ${b}`, async (scene) => {
    const server = await scene.serve({ listen: '11.0.0.1:8080', turnListen: '11.0.0.1:3478', namespace: `${prefix}-server`, args: ['--public-ip', '11.0.0.1'] });
    const sender = await scene.own('sender', 'chromium', { namespace: `${prefix}-${a}-a` });
    const receiver = await scene.own('receiver', 'chromium', { namespace: `${prefix}-${b}-b` });
    const file = await scene.file('across.bin', 300_000);
    const link = await sender.offer(server.origin, [file.path]);
    await receiver.visit(link);
    await receiver.accept();
    assert.equal((await receiver.downloaded()).sha256, file.sha256);
    for (const peer of [sender, receiver]) assert.equal(await peer.path(), 'relay', `the path that the ${peer.name} shows`);
  });
}
