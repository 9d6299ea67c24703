// The chat where nothing but the relay connects two people: what they say, a file, and how its limit shows.
import assert from 'node:assert/strict';
import { axe } from './lib/axe.mjs';
import { counted, reports } from './lib/metrics.mjs';
import { scenario } from './lib/scenario.mjs';
import { Talk } from './lib/talk.mjs';

const query = 'relay=only&sink=download';

async function twoByRelay(scene, server, [a, b]) {
  const ada = await Talk.start(a, server.origin, 'Ada', query);
  const bob = await Talk.join(b, ada.link, 'Bob', { query });
  await Promise.all([ada.reaches('Bob', /by a relay/), bob.reaches('Ada', /by a relay/)]);
  return [ada, bob];
}

scenario('by the relay alone, in two kinds of browsers: text and a file', async (scene) => {
  const server = await scene.serve();
  const [a, b] = [await scene.page('ada'), await scene.own('bob', 'firefox')];
  const [ada, bob] = await twoByRelay(scene, server, [a, b]);
  await ada.say('the long way round');
  await bob.say('and back');
  await Promise.all([ada, bob].map((one) => one.seesOnly('the long way round', 'and back')));
  await Promise.all([ada, bob].map((one) => one.delivery('delivered')));
  const file = await scene.file('film.bin', 2_000_000);
  await a.id('files').setInputFiles([file.path]);
  await b.says(/film\.bin/);
  await b.id('receive').click();
  assert.equal((await b.landed(file.size)).sha256, file.sha256);
  await b.shown('done');
  assert.equal(await b.path(), 'relay');
  await counted(server, 'causeway_stats_reports_total{outcome="worked"}', 2);
  await counted(server, 'causeway_stats_paths_total{path="relay"}', 2);
  assert.deepEqual([reports(a).length, reports(b).length], [1, 1], 'once, whatever comes after');
});

scenario('when four fifths of what may be relayed are used up, both pages say so', async (scene) => {
  const server = await scene.serve({ args: ['--budget-session', '10MB'] });
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  const [ada, bob] = await twoByRelay(scene, server, [a, b]);
  assert.equal(await a.id('caution').count(), 0, 'nothing is scarce yet');
  const file = await scene.file('nearly all.bin', 8_200_000);
  await a.id('files').setInputFiles([file.path]);
  await b.shown('receive');
  await b.id('receive').click();
  // What is sent again on a busy machine may use up the rest.
  await Promise.all([a, b].map((peer) => peer.says(/(Most of what|What) may be relayed is used up/)));
  for (const peer of [a, b]) {
    for (const colorScheme of ['light', 'dark']) {
      await peer.page.emulateMedia({ colorScheme });
      await axe(peer.page);
    }
  }
  await ada.say('enough for words');
  await bob.seesOnly('enough for words');
});

scenario('when what may be relayed is used up, both pages say so, and messages go on through the server', async (scene) => {
  const server = await scene.serve({ args: ['--budget-session', '10MB'] });
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  const [ada, bob] = await twoByRelay(scene, server, [a, b]);
  const files = await Promise.all(['one.bin', 'two.bin'].map((name) => scene.file(name, 5_000_000)));
  await a.id('files').setInputFiles(files.map((file) => file.path));
  await b.says(/two\.bin/);
  for (const name of ['one.bin', 'two.bin']) await b.page.getByRole('button', { name: `Receive: ${name}` }).click(); // both fit when they begin
  await Promise.all([a, b].map((peer) => peer.says(/What may be relayed is used up/)));
  await Promise.all([ada.reaches('Bob', /through the server/), bob.reaches('Ada', /through the server/)]);
  await ada.say('still here');
  await bob.seesOnly('still here');
  await ada.delivery('delivered');
  for (const colorScheme of ['light', 'dark']) {
    await b.page.emulateMedia({ colorScheme });
    await axe(b.page);
  }
});
