// The chat, as people use it: in two and three browsers, by every way there is.
import assert from 'node:assert/strict';
import { axe } from './lib/axe.mjs';
import { until } from './lib/conditions.mjs';
import { counted } from './lib/metrics.mjs';
import { scenario } from './lib/scenario.mjs';
import { Talk, withoutWebRTC } from './lib/talk.mjs';

scenario('three members in two kinds of browsers talk over data channels, see each other write, and get a file', async (scene) => {
  const server = await scene.serve();
  const [a, b, c] = [await scene.page('ada'), await scene.own('bob', 'firefox'), await scene.page('carol')];
  const ada = await Talk.start(a, server.origin, 'Ada', 'sink=download');
  assert.match(ada.link, /^http:\/\/localhost:\d+\/chat#[\w-]{50}\.[\w-]{22}$/);
  await ada.say('anybody there?');
  await ada.delivery('alone');
  const bob = await Talk.join(b, ada.link, 'Bob', { query: 'sink=download' });
  await ada.reaches('Bob', /direct/);
  await bob.reaches('Ada', /direct/);
  await ada.say('<b>hello</b> &amp; welcome\nto the room');
  await bob.seesOnly('<b>hello</b> &amp; welcome\nto the room');
  await ada.delivery('delivered');

  const carol = await Talk.join(c, ada.link, 'Carol', { query: 'sink=download' });
  await bob.reaches('Carol', /direct/);
  await carol.peer.id('message').pressSequentially('I am');
  await Promise.all([ada, bob].map((one) => one.peer.says(/Carol is writing/)));
  await carol.peer.id('message').press('Enter');
  await Promise.all([ada, bob, carol].map((one) => one.sees('I am')));
  assert.deepEqual(await carol.texts(), ['I am'], 'who comes late sees what is said from then on');
  await carol.delivery('delivered');
  await ada.peer.says(/3 are here/);
  if (process.env.CAUSEWAY_E2E_SHAPE !== 'functions') {
    // Functions have no /metrics; what they keep of reports is tested in Go.
    await counted(server, 'causeway_stats_reports_total{outcome="worked"}', 3);
    await counted(server, 'causeway_stats_paths_total{path="direct"}', 3);
  }

  const file = await scene.file('plan of the causeway.bin', 300_000);
  await a.id('files').setInputFiles([file.path]);
  for (const one of [b, c]) {
    await one.says(/plan of the causeway\.bin/);
    await one.id('receive').click();
  }
  await Promise.all([b, c].map((one) => one.shown('done', 180_000)));
  await a.says(/2 have it, verified/);
  for (const one of [b, c]) assert.equal((await one.landed(file.size)).sha256, file.sha256, one.name);

  await c.page.close({ runBeforeUnload: false });
  await ada.reaches('Carol', /away/);
  await ada.say('and two are left');
  await bob.sees('and two are left');
  await ada.delivery('delivered');
  await bob.people();
  await b.id('leave').click();
  await b.says(/You have left/);
  await a.says(/Bob has left/);
});

for (const [how, kinds] of [['two browsers', ['chromium', 'firefox']], ['only one of two browsers', ['chromium', 'chromium']]]) {
  scenario(`without WebRTC in ${how}, sealed messages go through the server; it dies and comes back, nothing is lost or doubled`, async (scene) => {
    scene.allow(/WebSocket|ERR_CONNECTION|Failed to load resource|NS_ERROR|can’t establish a connection|Cross-Origin|interrupted/);
    const first = await scene.serve();
    const both = kinds[1] === 'firefox';
    const a = await scene.page('ada');
    const b = both ? await scene.own('bob', 'firefox') : await scene.page('bob');
    await b.page.addInitScript(withoutWebRTC);
    if (both) await a.page.addInitScript(withoutWebRTC);
    const ada = await Talk.start(a, first.origin, 'Ada');
    const bob = await Talk.join(b, ada.link, 'Bob');
    await ada.reaches('Bob', /through the server/);
    await ada.say('one');
    await bob.sees('one');
    await bob.say('two');
    await ada.sees('two');
    await bob.delivery('delivered');

    const dataDir = first.args[first.args.indexOf('--data-dir') + 1];
    await first.stop('SIGKILL');
    await Promise.all([ada, bob].map((one) => one.peer.says(/The server does not answer/)));
    for (let i = 0; i < 5; i++) {
      await ada.say(`ada ${i} into the dark`);
      await bob.say(`bob ${i} into the dark`);
    }
    await ada.delivery('waiting');
    await scene.serve({ dataDir, listen: `localhost:${first.port}` });
    const all = ['one', 'two', ...[0, 1, 2, 3, 4].flatMap((i) => [`ada ${i} into the dark`, `bob ${i} into the dark`])];
    await Promise.all([ada, bob].map((one) => one.seesOnly(...all)));
    await Promise.all([ada, bob].map((one) => one.delivery('delivered')));
    assert.deepEqual((await bob.texts()).filter((text) => text.startsWith('ada')), all.filter((text) => text.startsWith('ada')), 'in order');
  });
}

scenario('the server dies while members talk directly: they go on; one that loads its page again is the same, and misses nothing', async (scene) => {
  scene.allow(/WebSocket|ERR_CONNECTION|Failed to load resource/);
  const first = await scene.serve();
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  const ada = await Talk.start(a, first.origin, 'Ada');
  const bob = await Talk.join(b, ada.link, 'Bob');
  await ada.reaches('Bob', /direct/);
  const dataDir = first.args[first.args.indexOf('--data-dir') + 1];
  await first.stop('SIGKILL');
  await ada.peer.says(/The server does not answer/);
  await ada.say('still here?');
  await bob.sees('still here?');
  await bob.say('still here.');
  await ada.sees('still here.');
  await ada.delivery('delivered');

  await scene.serve({ dataDir, listen: `localhost:${first.port}` });
  await bob.people();
  const mark = await b.id('me').innerText();
  await b.page.goto('about:blank');
  await ada.reaches('Bob', /away/);
  await ada.say('while Bob is away');
  await b.page.goBack();
  await bob.seesOnly('still here?', 'still here.', 'while Bob is away');
  await bob.people();
  assert.equal(await b.id('me').innerText(), mark, 'the same name and mark');
  await bob.say('back');
  await ada.sees('back');
  assert.deepEqual(await ada.texts(), ['still here?', 'still here.', 'while Bob is away', 'back']);
  assert.equal((await a.text()).match(/Bob is here/g).length, 1, 'and nobody new');
});

scenario('a full room says so, and has room again when somebody leaves', async (scene) => {
  const server = await scene.serve({ args: ['--room-members', '2'] });
  const ada = await Talk.start(await scene.page('ada'), server.origin, 'Ada');
  const bob = await Talk.join(await scene.page('bob'), ada.link, 'Bob');
  await ada.reaches('Bob', /direct|server/);
  await ada.peer.says(/the room is full/);
  const late = await scene.page('carol');
  await Talk.join(late, ada.link, 'Carol').catch(() => {});
  assert.match(await late.errorText(), /This room is full/);
  await bob.people();
  await bob.peer.id('leave').click();
  await ada.peer.says(/Bob has left/);
  await late.page.reload();
  const carol = new Talk(late);
  await carol.enter('Carol');
  await ada.reaches('Carol', /direct|server/);
});

scenario('links that lead nowhere say why', async (scene) => {
  scene.allow(/404|409/);
  const server = await scene.serve();
  const tries = { unknown: [`#${'A'.repeat(50)}.${'A'.repeat(22)}`, /not known/], cut: ['#AAAA', /not complete/] };
  for (const [name, [hash, said]] of Object.entries(tries)) {
    const peer = await scene.page(name);
    await peer.page.goto(`${server.origin}/chat${hash}`);
    if (name === 'unknown') {
      await peer.id('name').fill('Eve');
      await peer.id('enter').click();
    }
    assert.match(await peer.errorText(), said);
  }
  const ada = await Talk.start(await scene.page('ada'), server.origin, 'Ada');
  const lost = await scene.guest(`${server.origin}/${new URL(ada.link).hash}`, { name: 'lost' });
  assert.match(await lost.errorText(), /another page|chats open at \/chat/);
  const file = await scene.file('a.bin', 10);
  const sender = await scene.page('sender');
  const link = await sender.offer(server.origin, [file.path]);
  const other = await scene.page('other');
  await other.page.goto(`${server.origin}/chat${new URL(link).hash}`);
  await other.id('name').fill('Eve');
  await other.id('enter').click();
  assert.match(await other.errorText(), /for files/);
  await until('nobody is in the room', async () => (await ada.people()).length === 0);
});

scenario('the chat passes axe-core in each of its states, light and dark, and is used by keyboard alone', async (scene) => {
  const server = await scene.serve();
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  const clean = async ({ page }) => {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await axe(page);
    }
  };
  await a.page.goto(`${server.origin}/chat`);
  await a.shown('name');
  await clean(a);
  await a.page.keyboard.type('Ada'); // the field has the focus
  await a.page.keyboard.press('Enter');
  await a.shown('message');
  const ada = new Talk(a);
  ada.link = a.link = await a.readLink();
  await a.page.keyboard.type('first line');
  await a.page.keyboard.press('Shift+Enter');
  await a.page.keyboard.type('second line');
  await a.page.keyboard.press('Enter');
  await ada.seesOnly('first line\nsecond line');
  await clean(a);
  const bob = await Talk.join(b, ada.link, 'Bob');
  await ada.reaches('Bob', /direct|server/);
  await bob.say('hello');
  await ada.sees('hello');
  const file = await scene.file('a.txt', 10);
  await b.id('files').setInputFiles([file.path]);
  await a.shown('receive');
  const log = a.id('log');
  assert.deepEqual([await log.getAttribute('role'), await log.getAttribute('aria-live'), await log.getAttribute('tabindex')], ['log', 'polite', '0']);
  await Promise.all([clean(a), clean(b)]);
  await a.id('leave').click();
  await a.says(/You have left/);
  await clean(a);
});
