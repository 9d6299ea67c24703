// Without a mouse, and without eyes.
import assert from 'node:assert/strict';
import { gateWrites, pickedDigests, stubPickers } from './lib/pickers.mjs';
import { scenario } from './lib/scenario.mjs';

/** Runs in every page here: keeps what live regions say, in the order in which they say it. */
function listen() {
  window.announced = [];
  const regions = '[aria-live]:not([aria-live=off]), [role=status], [role=alert]';
  const note = (node) => {
    const element = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    const text = element?.closest?.(regions)?.textContent.replace(/\s+/g, ' ').trim() ?? element?.querySelector?.(regions)?.textContent.trim();
    if (text && window.announced.at(-1) !== text) window.announced.push(text);
  };
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) [target, ...addedNodes].forEach(note);
  }).observe(document, { subtree: true, childList: true, characterData: true });
}

const announced = (peer) => peer.page.evaluate(() => window.announced.join('\n'));

/** What has the focus: {testid, text, ring}; ring: the focus can be seen on it or around it. */
function focused() {
  const e = document.activeElement;
  let ring = false;
  for (let at = e; at && !ring; at = at.parentElement) {
    const style = getComputedStyle(at);
    ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  }
  return { testid: e?.dataset?.testid, text: e?.innerText || e?.ariaLabel || '', ring };
}

/** Presses Tab until `match` has the focus, which must show on every stop. */
async function tabTo(peer, what, match) {
  const stops = [];
  for (let presses = 0; presses < 25; presses++) {
    await peer.page.keyboard.press('Tab');
    const stop = await peer.page.evaluate(focused);
    stops.push(JSON.stringify(stop));
    assert.ok(stop.ring || stop.text === '', `${peer.name}: the focus doesn't show on ${stops.at(-1)}`);
    if (match(stop)) return;
  }
  throw new Error(`${peer.name}: Tab doesn't lead to ${what}, but to\n${stops.join('\n')}`);
}

async function pickByKeyboard(sender, origin, path) {
  // Listened for from the start: the browser is told to hand the chooser over, which must have arrived before the key.
  const chosen = sender.page.waitForEvent('filechooser', { timeout: 120_000 });
  await sender.page.goto(origin);
  await sender.page.getByTestId('files').waitFor({ state: 'attached' });
  await tabTo(sender, 'the files', ({ testid }) => testid === 'files');
  await sender.page.keyboard.press('Space');
  const chooser = await chosen;
  await chooser.setFiles([path]);
  sender.link = await sender.readLink();
}

scenario('all the way with Tab, Enter and Space', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('letter.txt', 3_000_000);
  const [sender, receiver] = [await scene.page('sender'), await scene.page('receiver')];
  for (const { page } of [sender, receiver]) await page.addInitScript(listen);
  await receiver.page.addInitScript(stubPickers);
  await pickByKeyboard(sender, server.origin, file.path);
  await tabTo(sender, 'the link', ({ testid }) => testid === 'link');
  await tabTo(sender, 'the copy button', ({ text }) => /copy/i.test(text));
  await sender.page.keyboard.press('Enter');
  await sender.says(/Copied|is selected/);

  await receiver.visit(sender.link);
  await receiver.shown('accept');
  await tabTo(receiver, 'Accept', ({ testid }) => testid === 'accept');
  await receiver.page.keyboard.press('Enter');
  await Promise.all([sender.shown('done', 240_000), receiver.shown('done', 240_000)]);
  assert.deepEqual(await receiver.page.evaluate(pickedDigests), { [file.name]: file.sha256 });

  assert.match(await announced(sender), /Send this link/);
  assert.match(await announced(sender), /Copied|is selected/);
  assert.match(await announced(sender), /Sending to receiver 1/);
  assert.match(await announced(sender), /Done and verified/);
  assert.match(await announced(receiver), /1 file for you/);
  assert.match(await announced(receiver), /Done and verified/);
  await receiver.page.waitForFunction(() => document.activeElement?.tagName === 'H1');
});

for (const by of ['sender', 'receiver']) {
  scenario(`the ${by} cancels with the keyboard; progress and end are announced`, async (scene) => {
    const server = await scene.serve();
    const file = await scene.file('big.bin', 40_000_000);
    const [sender, receiver] = [await scene.page('sender'), await scene.page('receiver')];
    for (const { page } of [sender, receiver]) await page.addInitScript(listen);
    for (const script of [stubPickers, gateWrites]) await receiver.page.addInitScript(script);
    await pickByKeyboard(sender, server.origin, file.path);
    await receiver.visit(sender.link);
    await receiver.shown('accept');
    await tabTo(receiver, 'Accept', ({ testid }) => testid === 'accept');
    await receiver.page.keyboard.press('Space');
    await receiver.page.waitForFunction(() => window.writes > 1);
    // The sender has sent what the receiver granted it: 8 of 40 MB.
    await sender.page.waitForFunction(() => Number(document.querySelector('[data-testid=progress]')?.getAttribute('aria-valuenow')) >= 20);
    assert.match(await announced(sender), /\b[12]0 percent/);
    const bar = sender.id('progress').first();
    assert.equal(await bar.getAttribute('role'), 'progressbar');
    assert.ok(await bar.getAttribute('aria-label'));
    const who = by === 'sender' ? sender : receiver;
    await tabTo(who, 'Cancel', ({ testid }) => testid === 'cancel');
    await who.page.keyboard.press('Space');
    await Promise.all([sender.errorText(), receiver.errorText()]);
    assert.match(await announced(receiver), /cancelled/i);
    assert.match(await announced(sender), /cancelled/i);
    await tabTo(receiver, 'Try again', ({ text }) => /try again/i.test(text));
  });
}

scenario('what a screen reader needs is in the pages', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('a.txt', 10);
  const [sender, receiver] = await scene.pair(server, [file]);
  await receiver.shown('accept');
  for (const { page, name } of [sender, receiver]) {
    const facts = await page.evaluate(() => ({
      lang: document.documentElement.lang,
      title: document.title,
      h1: document.querySelectorAll('h1').length,
      main: document.querySelectorAll('main').length,
      nameless: [...document.querySelectorAll('button, a, input')]
        .filter((e) => !(e.innerText || e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.title || e.labels?.[0]?.textContent))
        .map((e) => e.outerHTML),
      pictures: [...document.querySelectorAll('svg, img')].filter((e) => !e.closest('[aria-hidden=true]') && !e.getAttribute('aria-label') && !e.alt).map((e) => e.outerHTML.slice(0, 80)),
      viewport: document.querySelector('meta[name=viewport]')?.content ?? '',
    }));
    assert.equal(facts.lang, 'en', name);
    assert.match(facts.title, /Causeway/, name);
    assert.deepEqual([facts.h1, facts.main, facts.nameless, facts.pictures], [1, 1, [], []], name);
    assert.doesNotMatch(facts.viewport, /user-scalable=no|maximum-scale/, name);
  }
});
