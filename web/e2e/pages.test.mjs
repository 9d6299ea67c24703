// What people see: from the first page to the last word, and everything that can come in between.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { axe } from './lib/axe.mjs';
import { until } from './lib/conditions.mjs';
import { post } from './lib/hubclient.mjs';
import { gateWrites, nothingKept, pickedDigests, pickedSizes, stubPickers } from './lib/pickers.mjs';
import { Proxy } from './lib/proxy.mjs';
import { scenario } from './lib/scenario.mjs';
import { readZip } from './lib/zip.mjs';

const mib = 2 ** 20;
/** The receiver's disk stands still after the first write, until openGate. */
const gated = [stubPickers, gateWrites];

const openGate = (peer) => peer.page.evaluate(() => window.openGate());
const done = (...peers) => Promise.all(peers.map((peer) => peer.shown('done', 240_000)));
/** A receiver's disk stands still: some bytes have come, and no more will. */
const stalled = (peer) => peer.page.waitForFunction(() => window.writes > 1);

scenario('the link is there before a byte moves, and its secret never leaves the page', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('thesis.pdf', 2 * mib + 5);
  const [sender, receiver] = await scene.pair(server, [file], { query: 'sink=download' });
  assert.match(sender.link, /^http:\/\/localhost:\d+\/#[\w-]{50}\.[\w-]{22}$/);
  assert.ok(await sender.id('qr').isVisible());
  await receiver.shown('accept');
  await receiver.says(/thesis\.pdf/);
  await receiver.says(/2\.0 MiB/);
  await sender.says(/0 of 8 places taken/);
  assert.equal(receiver.downloads.length, 0, 'nothing is downloaded before Accept');
  await receiver.accept();
  await done(sender, receiver);
  const got = await receiver.downloaded();
  assert.deepEqual([got.name, got.sha256], [file.name, file.sha256]);
  await sender.says(/1 of 8 places taken/);

  const secret = sender.link.split('.').at(-1);
  const bytes = Buffer.from(secret, 'base64url');
  for (const peer of [sender, receiver]) {
    assert.ok(peer.frames.length > 0 && peer.requests.length > 3, 'traffic was recorded');
    const traffic = peer.traffic().join('\n');
    for (const form of [secret, bytes.toString('hex'), bytes.toString('base64').slice(0, 20)]) {
      assert.ok(!traffic.includes(form), `${peer.name} sent the secret`);
    }
    assert.ok(!traffic.includes('thesis'), `${peer.name} told the server the file's name`);
  }
});

scenario('opening a link takes nothing', async (scene) => {
  const server = await scene.serve({ args: ['--seats', '1'] });
  const file = await scene.file('one.bin', 1000);
  const [sender, first] = await scene.pair(server, [file], { query: 'sink=download' });
  await first.shown('accept');
  await first.page.reload();
  await first.shown('accept');
  const second = await scene.guest(sender.link, { query: 'sink=download' });
  await second.shown('accept');
  await sender.says(/0 of 1 places taken/);
  await second.accept();
  await done(second);
});

scenario('the sender is away, comes back, and it goes on', async (scene) => {
  scene.allow(/WebSocket|ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET|Failed to load resource/);
  const server = await scene.serve();
  const proxy = await Proxy.start(server.origin);
  scene.onClose(() => proxy.close());
  const file = await scene.file('late.bin', 3 * mib);
  const sender = await scene.page('sender');
  await sender.offer(proxy.origin, [file.path]);
  await until('the sender is connected', () => sender.frames.some((f) => f.direction === 'sent' && f.text.includes('"hello"')));
  proxy.cut();
  await sender.says(/Connecting to the server|does not answer/);
  const receiver = await scene.guest(server.origin + new URL(sender.link).hash, { query: 'sink=download' });
  await receiver.says(/The sender is away/);
  proxy.mend();
  await receiver.accept();
  await done(sender, receiver);
  assert.equal((await receiver.downloaded()).sha256, file.sha256);
});

scenario('the sender closes the page before and during a transfer', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('gone.bin', 20 * mib);
  const [sender, receiver] = await scene.pair(server, [file], { scripts: gated });
  const waiting = await scene.guest(sender.link, { name: 'another receiver' });
  await Promise.all([receiver.shown('accept'), waiting.shown('accept')]);
  await receiver.accept();
  await stalled(receiver);
  await sender.page.close({ runBeforeUnload: false });
  await waiting.says(/The sender is away/);
  assert.match(await receiver.errorText(), /connection was lost|cancelled/i);
  await nothingKept(receiver);
});

scenario('links that lead nowhere say why', async (scene) => {
  scene.allow(/404|410/);
  const server = await scene.serve({ args: ['--session-lifetime', '2s'] });
  const unknown = await scene.guest(`${server.origin}/#${'A'.repeat(50)}.${'A'.repeat(22)}`, { name: 'unknown' });
  assert.match(await unknown.errorText(), /not known/);
  const cut = await scene.guest(`${server.origin}/#${'A'.repeat(30)}`, { name: 'cut' });
  assert.match(await cut.errorText(), /not complete/);

  const { json } = await post(server.origin, '/api/sessions');
  const join = () => post(server.origin, '/api/sessions/join', { invite: json.invite });
  await until('the link has expired', async () => (await join()).status === 410);
  const expired = await scene.guest(`${server.origin}/#${json.invite}.${'A'.repeat(22)}`, { name: 'expired' });
  assert.match(await expired.errorText(), /expired/);
  for (const peer of [unknown, cut, expired]) assert.equal(await peer.id('accept').count(), 0);
});

scenario('all places taken', async (scene) => {
  const server = await scene.serve({ args: ['--seats', '1'] });
  const file = await scene.file('rare.bin', 100_000);
  const [sender, first] = await scene.pair(server, [file], { query: 'sink=download' });
  await first.accept();
  await done(first, sender);
  const second = await scene.guest(sender.link, { query: 'sink=download' });
  await second.accept();
  await second.says(/All places for these files are taken/);
  await sender.says(/found all places taken/);
  assert.equal(second.downloads.length, 0);
});

scenario('a place that is given back is free again', async (scene) => {
  const server = await scene.serve({ args: ['--seats', '1'] });
  const file = await scene.file('rare.bin', 20 * mib);
  const [sender, first] = await scene.pair(server, [file], { scripts: gated });
  await first.accept();
  await stalled(first);
  const second = await scene.guest(sender.link, { query: 'sink=download' });
  await second.accept();
  await second.says(/All places for these files are taken/);
  await first.id('cancel').click();
  await sender.says(/has cancelled/);
  await second.accept();
  await done(second);
});

scenario('two receivers are served one after another', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('both.bin', 12 * mib);
  const [sender, first] = await scene.pair(server, [file], { scripts: gated });
  await first.accept();
  await stalled(first);
  const second = await scene.guest(sender.link, { name: 'second receiver', query: 'sink=download' });
  await second.accept();
  await second.says(/You are next/);
  await sender.says(/has accepted and is next/);
  const third = await scene.guest(sender.link, { name: 'third receiver', query: 'sink=download' });
  await third.accept();
  await third.says(/2 people are before you/);
  await openGate(first);
  await done(first, second, third);
  await sender.says(/3 receivers have everything/);
  await sender.says(/3 of 8 places taken/);
  assert.deepEqual(await first.page.evaluate(pickedDigests), { [file.name]: file.sha256 });
  for (const peer of [second, third]) assert.equal((await peer.downloaded()).sha256, file.sha256);
});

for (const by of ['sender', 'receiver']) {
  scenario(`the ${by} cancels; both are told, nothing is kept, and another try works`, async (scene) => {
    const server = await scene.serve();
    const file = await scene.file('much.bin', 30 * mib);
    const [sender, receiver] = await scene.pair(server, [file], { scripts: gated });
    await receiver.accept();
    await stalled(receiver);
    await (by === 'sender' ? sender : receiver).id('cancel').click();
    assert.match(await receiver.errorText(), by === 'sender' ? /The sender has cancelled/ : /You have cancelled/);
    assert.match(await sender.errorText(), by === 'sender' ? /cancelled by you/ : /has cancelled/);
    await openGate(receiver);
    await nothingKept(receiver);
    await receiver.tryAgain();
    await receiver.accept();
    await done(sender, receiver);
    assert.deepEqual(await receiver.page.evaluate(pickedDigests), { [file.name]: file.sha256 });
  });
}

scenario('a server that restarts: the link survives, and so does a running transfer', async (scene) => {
  scene.allow(/WebSocket|ERR_CONNECTION|Failed to load resource/);
  const first = await scene.serve();
  const file = await scene.file('long.bin', 20 * mib);
  const [sender, receiver] = await scene.pair(first, [file], { scripts: gated });
  await receiver.accept();
  await stalled(receiver);
  const dataDir = first.args[first.args.indexOf('--data-dir') + 1];
  const turnListen = /turn:([\d.]+:\d+)/.exec(first.relayUrls.join(' '))[1];
  await first.stop();
  await sender.says(/The server does not answer at the moment/);
  await openGate(receiver);
  await done(sender, receiver);
  assert.deepEqual(await receiver.page.evaluate(pickedDigests), { [file.name]: file.sha256 });

  await scene.serve({ dataDir, listen: `localhost:${first.port}`, turnListen });
  const later = await scene.guest(sender.link, { name: 'later receiver', query: 'sink=download' });
  await later.accept();
  await done(later);
});

scenario('several files go into a folder, or into one zip', async (scene) => {
  const server = await scene.serve();
  const files = [await scene.file('a.bin', mib + 1), await scene.file('empty.txt', 0), await scene.file('c.bin', 70_000)];
  const [sender, folder] = await scene.pair(server, files, { scripts: [stubPickers] });
  await folder.says(/3 files for you/);
  await folder.accept();
  await done(sender, folder);
  const digests = Object.fromEntries(files.map((f) => [f.name, f.sha256]));
  assert.deepEqual(await folder.page.evaluate(pickedDigests), digests);

  const zip = await scene.guest(sender.link, { name: 'zip receiver', query: 'sink=download' });
  await zip.accept();
  await done(zip);
  const got = await zip.downloaded();
  assert.match(got.name, /\.zip$/);
  const entries = await readZip(got.path);
  assert.deepEqual(Object.fromEntries(Object.entries(entries).map(([name, e]) => [name, e.sha256])), digests);
});

for (const sink of ['', 'sink=download']) {
  scenario(`an empty file arrives (${sink || 'to disk'})`, async (scene) => {
    const server = await scene.serve();
    const file = await scene.file('nothing.txt', 0);
    const [sender, receiver] = await scene.pair(server, [file], { scripts: [stubPickers], query: sink });
    await receiver.accept();
    await done(sender, receiver);
    if (sink) assert.equal((await receiver.downloaded()).sha256, file.sha256);
    else assert.deepEqual(await receiver.page.evaluate(pickedSizes), { [file.name]: 0 });
  });
}

scenario('the file changes while it is sent', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('draft.bin', 40 * mib);
  const [sender, receiver] = await scene.pair(server, [file], { scripts: gated });
  await receiver.accept();
  await stalled(receiver);
  await rm(file.path);
  await openGate(receiver);
  assert.match(await receiver.errorText(), /can’t be read any more/);
  assert.match(await sender.errorText(), /changed, moved or deleted/);
  await nothingKept(receiver);
});

scenario('without a relay, too', async (scene) => {
  const server = await scene.serve({ turnListen: 'off' });
  const file = await scene.file('direct.bin', mib);
  const [sender, receiver] = await scene.pair(server, [file], { query: 'sink=download' });
  await receiver.accept();
  await done(sender, receiver);
  assert.equal(await receiver.path(), 'direct');
});

scenario('the relay stops at the cap: both pages say that it is near, and then that it is reached', async (scene) => {
  const server = await scene.serve({ args: ['--budget-session', '10MB'] });
  const file = await scene.file('twice.bin', 5_000_000);
  const query = 'relay=only&sink=download';
  const [sender, receiver] = await scene.pair(server, [file], { query });
  const second = await scene.guest(sender.link, { name: 'second', query });
  await receiver.accept(); // one after the other
  await receiver.shown('done');
  await second.accept();
  await second.says(/Most of what may be relayed|What may be relayed is used up/);
  await sender.says(/Most of what may be relayed|What may be relayed is used up/);
  await second.says(/What may be relayed is used up/);
  await sender.says(/What may be relayed is used up/);
  assert.equal(await second.id('done').count(), 0);
  for (const { page } of [sender, second]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await axe(page);
    }
  }
});

scenario('what is too much for the relay is said at once, on both pages', async (scene) => {
  const server = await scene.serve({ args: ['--budget-session', '8MB'] });
  const file = await scene.file('too much.bin', 8_000_000);
  const sender = await scene.page('sender');
  await sender.offer(server.origin, [file.path], 'relay=only');
  const receiver = await scene.guest(sender.link, { query: 'relay=only' });
  await sender.says(/too much for the relay/);
  await receiver.says(/too much for the relay/);
});

for (const [who, from, to] of [['sender', 'relay=only', ''], ['receiver', '', 'relay=only']]) {
  scenario(`only the ${who} insists on the relay`, async (scene) => {
    const server = await scene.serve();
    const file = await scene.file('relayed.bin', 3 * mib);
    const sender = await scene.page('sender');
    await sender.offer(server.origin, [file.path], from);
    const receiver = await scene.guest(sender.link, { query: `${to}&sink=download` });
    await receiver.accept();
    await done(sender, receiver);
    assert.equal((await receiver.downloaded()).sha256, file.sha256);
    assert.equal(await receiver.path(), 'relay');
  });
}
