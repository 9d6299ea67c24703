// A server that does more than pass messages on: it is found out before it learns a name.
import assert from 'node:assert/strict';
import { Middle, intercept, signalOf } from './lib/mitm.mjs';
import { scenario } from './lib/scenario.mjs';

const secretName = 'resignation-letter.txt';

/** Both pages say that the connection could not be verified; the guest has seen no name. */
async function assertFoundOut(host, guest) {
  for (const peer of [host, guest]) assert.match(await peer.errorText(), /verif/i, `${peer.name}'s error`);
  assert.ok(!(await guest.text()).includes(secretName), 'the guest shows a name');
  assert.equal(await guest.id('accept').count(), 0, 'there is nothing to accept');
  assert.equal(await guest.id('done').count(), 0);
}

for (const mode of ['forward', 'reflect']) {
  scenario(`a man in the middle who terminates both sides (${mode}s the channels' messages)`, async (scene) => {
    const server = await scene.serve();
    const [host, guest, attacker] = [await scene.page('sender'), await scene.page('receiver'), await scene.page('attacker')];
    const file = await scene.file(secretName, 5000);
    scene.allow(/404/); // the attacker's page has no icon
    await attacker.page.goto(`${server.origin}/healthz`);
    const middle = await Middle.between(guest.page, attacker.page, mode);
    const link = await host.offer(server.origin, [file.path]);
    await guest.visit(link);
    await assertFoundOut(host, guest);
    const seen = await middle.seen();
    const binds = seen.filter(({ text }) => JSON.parse(text).type === 'bind');
    assert.deepEqual(new Set(binds.map(({ from }) => from)), new Set(['host', 'guest']), 'the attacker was really connected to both');
    assert.deepEqual(seen.filter((message) => !binds.includes(message)), [], 'nothing but MACs went through the attacker');
  });
}

/** Changes the last hex digit of each fingerprint. */
function forge(sdp) {
  return sdp.replace(/^(a=fingerprint:.*)([0-9A-F])(\r?)$/gim, (_, head, digit, end) => head + (digit === '0' ? '1' : '0') + end);
}

for (const [direction, what] of [['down', "the host's"], ['up', "the guest's"]]) {
  scenario(`${what} fingerprint is changed on the way`, async (scene) => {
    const server = await scene.serve();
    const [host, guest] = [await scene.page('sender'), await scene.page('receiver')];
    const file = await scene.file(secretName, 5000);
    let forged = 0;
    await intercept(guest.page, (way, record) => {
      const signal = signalOf(record);
      if (way === direction && signal?.data.type === 'description') {
        const { description } = signal.data;
        assert.notEqual(forge(description.sdp), description.sdp);
        description.sdp = forge(description.sdp);
        forged++;
      }
      return record;
    });
    const link = await host.offer(server.origin, [file.path]);
    await guest.visit(link);
    await assertFoundOut(host, guest);
    assert.ok(forged > 0);
  });
}

scenario('a link with another secret', async (scene) => {
  const server = await scene.serve();
  const [host, guest] = [await scene.page('sender'), await scene.page('receiver')];
  const file = await scene.file(secretName, 5000);
  const link = await host.offer(server.origin, [file.path]);
  const at = link.lastIndexOf('.') + 1;
  await guest.visit(link.slice(0, at) + (link[at] === 'A' ? 'B' : 'A') + link.slice(at + 1));
  await assertFoundOut(host, guest);
});
