// Pictures of the pages in all their states: npm run shots -- DIR [NAME…]. Made to be looked at; nothing is asserted.
// NAME picks among the states below. readme.png is both sides of one transfer, for the README.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFile } from './lib/files.mjs';
import { slowWrites, stubPickers } from './lib/pickers.mjs';
import { Scene, closeShared } from './lib/scene.mjs';
import { Talk } from './lib/talk.mjs';

const [dir, ...only] = process.argv.slice(2);
if (!dir) {
  console.error('usage: npm run shots -- DIR [NAME…]');
  process.exit(2);
}

const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const mib = 2 ** 20;

async function files(scene) {
  const place = await scene.directory();
  return Promise.all([makeFile(place, 'Summer in Brittany.mp4', 64 * mib + 600_000), makeFile(place, 'Packing list.pdf', 180_000)]);
}

/** One state: its name, and what leads there; it returns the pages to take pictures of, by name. */
const states = {
  async empty({ page, server }) {
    const sender = await page('sender');
    await sender.page.goto(server.origin);
    await sender.page.getByRole('heading').first().waitFor();
    return { 'sender-empty': sender };
  },
  async waiting({ page, server, files }) {
    const sender = await page('sender');
    await sender.offer(server.origin, files.map((f) => f.path));
    await sender.says(/Nobody has opened/);
    return { 'sender-waiting': sender };
  },
  async offer(stage) {
    const [sender, receiver] = await pair(stage, '');
    await sender.says(/looking at the list/);
    return { 'sender-visited': sender, 'receiver-offer': receiver };
  },
  direct: (stage) => transferring(stage, ''),
  relay: (stage) => transferring(stage, 'relay=only'),
  async done(stage) {
    const [sender, receiver] = await pair({ ...stage, files: stage.files.slice(1) }, '');
    await receiver.accept();
    await Promise.all([sender.shown('done', 180_000), receiver.shown('done', 180_000)]);
    return { 'sender-done': sender, 'receiver-done': receiver };
  },
  async cancelled(stage) {
    const [sender, receiver] = await pair(stage, '');
    await receiver.accept();
    await progressed(receiver, 10);
    await sender.id('cancel').click();
    await Promise.all([sender.errorText(), receiver.errorText()]);
    return { 'sender-cancelled': sender, 'receiver-cancelled': receiver };
  },
  async away(stage) {
    const [sender, receiver] = await pair(stage, '');
    await sender.page.goto('about:blank');
    await receiver.says(/The sender is away/, 60_000);
    return { 'receiver-away': receiver };
  },
  async unknown({ page, server }) {
    const receiver = await page('receiver');
    await receiver.visit(`${server.origin}/#${'A'.repeat(50)}.${'A'.repeat(22)}`);
    await receiver.errorText();
    return { 'receiver-unknown-link': receiver };
  },
  async 'chat-enter'({ page, server }) {
    const peer = await page('enter');
    await peer.page.goto(`${server.origin}/chat`);
    await peer.shown('name');
    return { 'chat-enter': peer };
  },
  async 'chat-alone'({ page, server }) {
    const ada = await Talk.start(await page('ada'), server.origin, 'Ada Lovelace');
    await ada.say('Is anybody there?');
    await ada.peer.shown('qr');
    return { 'chat-alone': ada.peer };
  },
  async 'chat-talk'({ page, server, files }) {
    const ada = await Talk.start(await page('ada'), server.origin, 'Ada Lovelace');
    const bob = await Talk.join(await page('bob'), ada.link, 'Bob');
    await ada.reaches('Bob', /direct/);
    await ada.say('The heron is back. It stands where the old causeway begins, and looks as if it had never been away.');
    await bob.sees(...(await ada.texts()));
    await bob.say('Pictures, please!');
    await bob.say('And the list of what to bring:\n- boots\n- a rope');
    await ada.sees('Pictures, please!');
    await ada.peer.id('files').setInputFiles(files.slice(1).map((f) => f.path));
    await bob.peer.shown('receive');
    await bob.peer.id('message').pressSequentially('It is');
    await ada.peer.says(/Bob is writing/);
    for (const one of [ada, bob]) await one.page.locator('details.share').evaluate((details) => details.removeAttribute('open'));
    await bob.page.getByTestId('people').evaluate((details) => details.removeAttribute('open'));
    return { 'chat-people': ada.peer, 'chat-talk': bob.peer };
  },
  near: (stage) => limited(stage, '60MB', async ({ sender, receiver }) => {
    await Promise.all([sender, receiver].map((peer) => peer.shown('caution')));
    return { 'sender-near': sender, 'receiver-near': receiver };
  }),
  spent: (stage) => limited(stage, '50MB', async ({ sender, receiver }) => {
    await Promise.all([sender, receiver].map((peer) => peer.says(/What may be relayed is used up/)));
    return { 'sender-spent': sender, 'receiver-spent': receiver };
  }),
  'chat-near': (stage) => relayedChat(stage, '12MB', [4e6, 6e6], async (ada, bob) => {
    await Promise.all([ada, bob].map((one) => one.peer.shown('caution')));
    return { 'chat-near': bob.peer };
  }),
  'chat-spent': (stage) => relayedChat(stage, '10MB', [5e6, 5e6], async (ada, bob) => {
    await Promise.all([ada, bob].map((one) => one.peer.says(/What may be relayed is used up/)));
    await bob.reaches('Ada', /through the server/);
    await ada.say('Are you still there?');
    await bob.sees('Are you still there?');
    return { 'chat-spent': bob.peer };
  }),
  async 'chat-left'({ page, server }) {
    const ada = await Talk.start(await page('ada'), server.origin, 'Ada');
    await ada.people();
    await ada.peer.id('leave').click();
    await ada.peer.says(/You have left/);
    return { 'chat-left': ada.peer };
  },
  async 'chat-refused'({ page, server }) {
    const peer = await page('refused');
    await peer.page.goto(`${server.origin}/chat#short`);
    await peer.errorText();
    return { 'chat-refused': peer };
  },
};

async function pair({ page, server, files }, query) {
  const sender = await page('sender');
  await sender.offer(server.origin, files.map((f) => f.path), query);
  const receiver = await page('receiver');
  for (const script of [stubPickers, slowWrites]) await receiver.page.addInitScript(script);
  await receiver.visit(sender.link, query);
  await receiver.shown('accept');
  return [sender, receiver];
}

/** The disk stands still as long as the page warns, so that there is time for pictures. */
function holdAtCaution() {
  const write = FileSystemWritableFileStream.prototype.write;
  FileSystemWritableFileStream.prototype.write = async function (...args) {
    while (document.querySelector('[data-testid=caution]')) await new Promise((resolve) => setTimeout(resolve, 200));
    return write.apply(this, args);
  };
}

/** Two receivers, one after the other, of 25 megabytes by the relay, which may carry so much in all. */
async function limited({ page, serve, file }, budget, then) {
  const server = await serve({ args: ['--budget-session', budget] });
  const { path } = await file('Summer in Brittany.mp4', 25e6);
  const query = 'relay=only';
  const sender = await page('sender');
  await sender.offer(server.origin, [path], query);
  const receivers = [];
  for (const name of ['first', 'second']) {
    const receiver = await page(name);
    for (const script of [stubPickers, slowWrites, holdAtCaution]) await receiver.page.addInitScript(script);
    await receiver.visit(sender.link, query);
    await receiver.shown('accept');
    receivers.push(receiver);
  }
  for (const receiver of receivers) {
    await receiver.accept();
    if (receiver === receivers[0]) await receiver.shown('done');
  }
  return then({ sender, receiver: receivers[1] });
}

async function relayedChat({ page, serve, file }, budget, sizes, then) {
  const server = await serve({ args: ['--budget-session', budget] });
  const query = 'relay=only&sink=download';
  const ada = await Talk.start(await page('ada'), server.origin, 'Ada', query);
  const bob = await Talk.join(await page('bob'), ada.link, 'Bob', { query });
  await Promise.all([ada.reaches('Bob', /by a relay/), bob.reaches('Ada', /by a relay/)]);
  await ada.say('Here comes the film.');
  const parts = await Promise.all(sizes.map((size, i) => file(`Summer ${i + 1}.mp4`, size)));
  await ada.peer.id('files').setInputFiles(parts.map(({ path }) => path));
  for (let i = 0; i < sizes.length; i++) {
    await bob.page.getByRole('button', { name: `Receive: Summer ${i + 1}.mp4` }).click();
    if (sizes[0] !== sizes[1]) await bob.page.getByTestId('done').nth(i).waitFor();
  }
  return then(ada, bob);
}

function progressed({ page }, percent) {
  const reached = (want) => Number(document.querySelector('[data-testid=progress]')?.getAttribute('aria-valuenow')) >= want;
  return page.waitForFunction(reached, percent, { timeout: 120_000 });
}

async function transferring(stage, query) {
  const [sender, receiver] = await pair(stage, query);
  await receiver.accept();
  await Promise.all([progressed(receiver, 25), sender.shown('path'), receiver.shown('path')]);
  const path = query ? 'relay' : 'direct';
  return { [`sender-${path}`]: sender, [`receiver-${path}`]: receiver };
}

/** Both sides next to each other, while bytes cross. */
async function readme(scene, server, picked) {
  const page = (name) => scene.page(name, { viewport: { width: 640, height: 760 } });
  const pages = Object.values(await transferring({ page, server, files: picked }, ''));
  const shots = await Promise.all(pages.map((peer) => peer.page.screenshot()));
  const sheet = await scene.page('sheet', { viewport: { width: 1281, height: 760 } });
  const pictures = shots.map((png) => `<img src="data:image/png;base64,${png.toString('base64')}">`).join('');
  await sheet.page.setContent(`<body style="margin:0;display:flex;gap:1px;background:#999">${pictures}`);
  await writeFile(join(dir, 'readme.png'), await sheet.page.screenshot());
}

/** All sizes and colours of one state's pages. */
async function shoot(pages) {
  for (const [name, { page }] of Object.entries(pages)) {
    for (const [size, viewport] of Object.entries(sizes)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(dir, `${name}-${size}-${colorScheme}.png`), fullPage: true });
      }
    }
  }
}

const scene = await Scene.open();
try {
  await mkdir(dir, { recursive: true });
  const server = await scene.serve();
  const picked = await files(scene);
  for (const state of Object.keys(states)) {
    if (only.length > 0 && !only.includes(state)) continue;
    const page = (name) => scene.page(name, { viewport: sizes.desktop, reducedMotion: 'reduce' });
    const stage = { page, server, files: picked, serve: (options) => scene.serve(options), file: (name, size) => scene.file(name, size) };
    await shoot(await states[state](stage));
    await scene.closePages();
  }
  if (only.length === 0 || only.includes('readme')) await readme(scene, server, picked);
} catch (error) {
  console.error(await scene.evidence());
  throw error;
} finally {
  await scene.close();
  await closeShared();
}
