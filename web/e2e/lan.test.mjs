// A LAN without certificates: plain http on an address, where browsers hide much of what pages like to use.
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { scenario } from './lib/scenario.mjs';
import { lanAddress } from './lib/server.mjs';
import { readZip } from './lib/zip.mjs';

const mib = 2 ** 20;
const lan = lanAddress();

/** What the browser hides from a page like this; the tests are worth nothing where it doesn't. */
async function assertInsecure(peer) {
  const has = await peer.page.evaluate(() => ({
    secure: isSecureContext,
    subtle: Boolean(globalThis.crypto?.subtle),
    worker: 'serviceWorker' in navigator,
    picker: 'showSaveFilePicker' in window,
    clipboard: Boolean(navigator.clipboard),
  }));
  assert.deepEqual(has, { secure: false, subtle: false, worker: false, picker: false, clipboard: false }, peer.name);
}

scenario('the link has the LAN address, though the sender opened localhost', async (scene) => {
  const server = await scene.serve({ listen: ':0' });
  assert.deepEqual(server.urls, [`http://localhost:${server.port}`, `http://${lan}:${server.port}`]);
  const [sender, receiver] = [await scene.page('sender'), await scene.page('receiver')];
  const file = await scene.file('plan.pdf', 3 * mib + 17);
  const link = await sender.offer(server.origin, [file.path]);
  assert.equal(new URL(link).origin, `http://${lan}:${server.port}`);
  await receiver.visit(link);
  await assertInsecure(receiver);
  await receiver.accept();
  await Promise.all([sender.shown('done'), receiver.shown('done')]);
  const got = await receiver.downloaded();
  assert.deepEqual([got.name, got.sha256], [file.name, file.sha256]);
});

for (const kind of ['chromium', 'firefox']) {
  for (const path of ['direct', 'relay']) {
    scenario(`both on plain http, ${kind} receives, ${path}`, async (scene) => {
      const server = await scene.serve({ listen: `${lan}:0` });
      const sender = await scene.page('sender');
      const receiver = kind === 'chromium' ? await scene.page('receiver') : await scene.own('receiver', kind);
      const file = await scene.file('talk.mp4', 20 * mib + 1);
      const query = path === 'relay' ? 'relay=only' : '';
      const link = await sender.offer(`http://${lan}:${server.port}`, [file.path], query);
      assert.equal(new URL(link).origin, `http://${lan}:${server.port}`);
      await assertInsecure(sender);
      await receiver.visit(link, query);
      await receiver.accept();
      await Promise.all([sender.shown('done', 240_000), receiver.shown('done', 240_000)]);
      assert.deepEqual([await sender.path(), await receiver.path()], [path, path]);
      const got = await receiver.landed(file.size);
      assert.deepEqual([got.name, got.sha256], [file.name, file.sha256]);
    });
  }
}

scenario('several files arrive there, too', async (scene) => {
  const server = await scene.serve({ listen: `${lan}:0` });
  const [sender, receiver] = [await scene.page('sender'), await scene.page('receiver')];
  const files = [await scene.file('first.bin', mib + 5), await scene.file('second.bin', 3)];
  const link = await sender.offer(server.origin, files.map((f) => f.path));
  await receiver.visit(link);
  await receiver.accept();
  await Promise.all([sender.shown('done'), receiver.shown('done')]);
  const { name, path } = await receiver.downloaded();
  assert.match(name, /\.zip$/);
  const entries = await readZip(path);
  for (const file of files) assert.deepEqual(entries[file.name], { size: file.size, sha256: file.sha256 });
});

scenario('more than 256 MiB is refused there, with why and what to do', async (scene) => {
  const server = await scene.serve({ listen: ':0' });
  const dir = await scene.directory();
  const path = join(dir, 'film.mkv');
  await writeFile(path, '');
  await truncate(path, 256 * mib + 1);
  const sender = await scene.page('sender');
  const link = await sender.offer(server.origin, [path]);

  const receiver = await scene.page('receiver');
  await receiver.visit(link);
  const text = await receiver.errorText();
  assert.match(text, /256 Mi?B/, 'how much');
  assert.match(text, /http|secure|encrypt/i, 'why');
  assert.match(text, /https|localhost|--tls|certificate/i, 'what to do');
  const accept = receiver.id('accept');
  assert.ok((await accept.count()) === 0 || (await accept.isDisabled()), 'there is nothing to accept');

  // The same file on a secure origin is offered.
  const local = await scene.page('receiver at localhost');
  await local.visit(link.replace(`//${lan}:`, '//localhost:'));
  await local.shown('accept');
});

scenario('a server on localhost only gives links to localhost', async (scene) => {
  const server = await scene.serve({ listen: 'localhost:0' });
  const sender = await scene.page('sender');
  const file = await scene.file('a.bin', 10);
  const link = await sender.offer(server.origin, [file.path]);
  assert.equal(new URL(link).origin, `http://localhost:${server.port}`);
  assert.deepEqual(server.urls, [`http://localhost:${server.port}`]);
});

scenario('--public-url is what links begin with', async (scene) => {
  for (const listen of ['localhost:0', ':0']) {
    const server = await scene.serve({ listen, args: ['--public-url', 'https://send.example.org/'] });
    const sender = await scene.page('sender');
    const file = await scene.file('a.bin', 10);
    const link = await sender.offer(server.origin, [file.path]);
    assert.match(link, /^https:\/\/send\.example\.org\/#/);
  }
});
