// Browsers behind routers that allow no direct path: the relay is asked for, and the file arrives. All kinds of routers, with
// peers that are no browsers, are in internal/acceptance.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scenario } from './lib/scenario.mjs';

const script = fileURLToPath(new URL('../../scripts/nat.sh', import.meta.url));
const prefix = `e${process.pid}`;
const run = promisify(execFile);

// Firefox is driven over a port, so it stays where we are, with a line to the switch.
before(async () => {
  await run(script, ['up', prefix, 'symmetric', 'noudp']);
  await run('ip', ['link', 'add', 'nat0', 'type', 'veth', 'peer', 'name', 'here', 'netns', `${prefix}-net`]);
  await run('ip', ['-n', `${prefix}-net`, 'link', 'set', 'here', 'master', 'br0', 'up']);
  await run('ip', ['addr', 'add', '11.0.0.5/24', 'dev', 'nat0']);
  await run('ip', ['link', 'set', 'nat0', 'up']);
  // Slow enough that a transfer is still under way when its network changes, however fast this machine is.
  await run('ip', ['netns', 'exec', `${prefix}-server`, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', 'rate', '16mbit', 'burst', '64k', 'latency', '100ms']);
});
after(() => run(script, ['down', prefix]));

async function serve(scene) {
  return scene.serve({ listen: '11.0.0.1:8080', turnListen: '11.0.0.1:3478', namespace: `${prefix}-server`, args: ['--public-ip', '11.0.0.1'] });
}

scenario('from a browser behind a symmetric router to another', async (scene) => {
  const server = await serve(scene);
  const sender = await scene.own('sender', 'chromium', { namespace: `${prefix}-symmetric-a` });
  const receiver = await scene.own('receiver', 'chromium', { namespace: `${prefix}-symmetric-b` });
  const file = await scene.file('across.bin', 300_000);
  await receiver.visit(await sender.offer(server.origin, [file.path]));
  await receiver.accept();
  assert.equal((await receiver.downloaded()).sha256, file.sha256);
  for (const peer of [sender, receiver]) assert.equal(await peer.path(), 'relay', `the path that the ${peer.name} shows`);
});

// Acceptance test 7 of the relay: a browser that has lost its address gets a new allocation by an ICE restart, and goes on; a
// page that is loaded again while its former self is still expected back gets a relay, too.
for (const [from, to, moved] of [['chromium', 'firefox', 'chromium'], ['firefox', 'chromium', 'firefox']]) {
  scenario(`over the relay from ${from} to ${to}: ${moved} changes its network, then the receiver's page is loaded again`, async (scene) => {
    const server = await serve(scene);
    const place = { chromium: { namespace: `${prefix}-noudp-b` }, firefox: {} };
    const [sender, receiver] = await Promise.all([scene.own('sender', from, place[from]), scene.own('receiver', to, place[to])]);
    scene.allow(/WebSocket|signalr|connection|ERR_/i);
    const file = await scene.file('across.bin', 24_000_000);
    await receiver.visit(await sender.offer(server.origin, [file.path], 'relay=only'), 'relay=only');
    await receiver.accept();
    await receiver.says(/[1-9]\d? ?%/);
    await network[moved].changes();
    try {
      await sender.says(/has lost the network/);
      await Promise.all([sender.shown('done'), receiver.shown('done')]);
      await receiver.page.reload();
      await receiver.accept();
      await receiver.shown('done');
      for (const peer of [sender, receiver]) assert.equal(await peer.path(), 'relay', `the path that the ${peer.name} shows`);
    } finally {
      await network[moved].changesBack();
    }
  });
}

const ip = async (...args) => run('ip', args);
const nft = async (rules) => run('ip', ['netns', 'exec', `${prefix}-server`, 'nft', rules]);
const behind = ['-n', `${prefix}-noudp-b`];
/** How the browsers' machines come to another network. */
const network = {
  /** The address is taken away, and there is another. */
  chromium: {
    async to(from, to) {
      await ip(...behind, 'addr', 'del', `${from}/24`, 'dev', 'eth0');
      await ip(...behind, 'addr', 'add', `${to}/24`, 'dev', 'eth0');
      await ip(...behind, 'route', 'add', 'default', 'via', '192.168.1.1');
    },
    changes() {
      return this.to('192.168.1.2', '192.168.1.3');
    },
    changesBack() {
      return this.to('192.168.1.3', '192.168.1.2');
    },
  },
  /** Nothing comes through from the address any more, and there is another. (Firefox ends a connection at once when its address is taken away.) */
  firefox: {
    async changes() {
      await ip('addr', 'add', '11.0.0.6/24', 'dev', 'nat0');
      await ip('route', 'replace', '11.0.0.0/24', 'dev', 'nat0', 'src', '11.0.0.6');
      await nft('add table ip gone; add chain ip gone in { type filter hook input priority 0; }; add rule ip gone in ip saddr 11.0.0.5 drop');
    },
    async changesBack() {
      await nft('delete table ip gone');
      await ip('route', 'replace', '11.0.0.0/24', 'dev', 'nat0', 'src', '11.0.0.5');
      await ip('addr', 'del', '11.0.0.6/24', 'dev', 'nat0');
    },
  },
};
