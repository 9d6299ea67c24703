// What the server gets of a chat, and what becomes of a server that does more than pass it on.
import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { until } from './lib/conditions.mjs';
import { intercept, signalOf } from './lib/mitm.mjs';
import { Recorder, findIn, forms } from './lib/recorder.mjs';
import { scenario } from './lib/scenario.mjs';
import { Talk, withoutWebRTC } from './lib/talk.mjs';

/** Runs in a page: what it keeps for its next visit is to be seen by the test. */
function exposeMemory() {
  const { setItem } = Storage.prototype;
  Storage.prototype.setItem = function (key, value) {
    window.kept = value;
    setItem.call(this, key, value);
  };
  window.keep = () => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
    delete document.hidden;
    document.dispatchEvent(new Event('visibilitychange'));
    return window.kept;
  };
}

scenario('a server that records everything it sees finds no text, name or key in it, by either way', async (scene) => {
  const server = await scene.serve();
  const recorder = await Recorder.start(server.origin);
  scene.onClose(() => recorder.close());
  const [a, b, c] = [await scene.page('ada'), await scene.page('bob'), await scene.page('carol')];
  await c.page.addInitScript(withoutWebRTC);
  for (const one of [a, b, c]) await one.page.addInitScript(exposeMemory);
  const names = ['Adamantia Quux', 'Böb Ærø', 'Carolingia Zzyzx'];
  const ada = await Talk.start(a, recorder.origin, names[0], 'sink=download');
  const bob = await Talk.join(b, ada.link, names[1], { origin: recorder.origin, query: 'sink=download' });
  const carol = await Talk.join(c, ada.link, names[2], { origin: recorder.origin });
  await ada.reaches('Böb', /direct/);
  await ada.reaches('Carolingia', /through the server/);
  const texts = ['the heron flies at midnight', 'Grüße aus Übersee & "more" <i>', 'eels are in the hovercraft'];
  await ada.say(texts[0]);
  await bob.say(texts[1]);
  await carol.say(texts[2]);
  for (const one of [ada, bob, carol]) await one.seesOnly(...texts);
  const file = await scene.file('blueprint-of-the-lighthouse.bin', 100_000);
  await a.id('files').setInputFiles([file.path]);
  await b.id('receive').click();
  await b.shown('done', 180_000);
  await c.says(/blueprint-of-the-lighthouse/);
  const kept = await Promise.all([a, b, c].map(async ({ page }) => JSON.parse(await page.evaluate(() => window.keep()))));

  const record = recorder.seen();
  const secret = Buffer.from(ada.link.split('.').at(-1), 'base64url');
  const { session } = kept[0].member;
  const derive = (info) => Buffer.from(hkdfSync('sha256', secret, session, info, 32));
  const hidden = [...texts, ...names, file.name, secret, derive('causeway/1 chat intro'), derive('causeway/1 bind'), ...kept.map(({ seed }) => Buffer.from(seed, 'base64url'))];
  for (const needle of hidden) assert.equal(findIn(record, needle), undefined, `${needle} is in the record`);
  for (const { name, room } of kept) {
    assert.ok(names.includes(name), 'the test knows what the pages keep');
    for (const member of room.members) assert.equal(findIn(record, Buffer.from(member.publicKey, 'base64url')), undefined, 'a public key is in the record');
  }

  // The record is one: what the server does see is in it, both ways, and what is looked for would be found in each form.
  for (const seen of [session, kept[1].member.peer, kept[2].member.grant, 'a=fingerprint:', '"target":"sealed"', '/api/sessions/join']) {
    assert.ok(findIn(record, seen), `${seen} is not in the record`);
  }
  for (const needle of [texts[1], names[1], secret]) {
    const bytes = Buffer.from(needle);
    for (const [form, what] of forms(bytes, typeof needle === 'string' ? needle : undefined)) {
      assert.ok(findIn(Buffer.concat([record, what, Buffer.from('…')]), needle), `${form} would not be found`);
    }
  }
});

scenario('a server that doubles, replays and changes sealed messages: each is shown once, changed ones never, and that is told', async (scene) => {
  const server = await scene.serve();
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  await b.page.addInitScript(withoutWebRTC);
  const old = [];
  let tamper = false;
  const line = await intercept(b.page, (way, record) => {
    if (way !== 'down' || record.target !== 'sealed') return record;
    const { box } = record.arguments[0];
    if (tamper && box.startsWith('Ag')) { // a frame: type 2, and a counter
      const at = box.length - 40;
      record.arguments[0].box = box.slice(0, at) + (box[at] === 'A' ? 'B' : 'A') + box.slice(at + 1);
      return record;
    }
    old.push(structuredClone(record));
    for (const one of old) line.send('down', one); // this one twice, and all before it again
    return record;
  });
  const ada = await Talk.start(a, server.origin, 'Ada');
  const bob = await Talk.join(b, ada.link, 'Bob');
  await ada.reaches('Bob', /through the server/);
  for (const text of ['one', 'two', 'three']) {
    await ada.say(text);
    await bob.sees(text);
  }
  await ada.delivery('delivered');
  await bob.seesOnly('one', 'two', 'three');
  tamper = true;
  await ada.say('four');
  await b.says(/changed on their way/);
  await bob.seesOnly('one', 'two', 'three');
  await ada.delivery('sent');
  tamper = false;
  await bob.seesOnly('one', 'two', 'three', 'four');
  await ada.delivery('delivered');
});

/** Changes the last hex digit of each fingerprint. */
function forge(sdp) {
  return sdp.replace(/^(a=fingerprint:.*)([0-9A-F])(\r?)$/gim, (_, head, digit, end) => head + (digit === '0' ? '1' : '0') + end);
}

scenario('a server that changes fingerprints is found out; members go on by sealed messages', async (scene) => {
  const server = await scene.serve();
  const [a, b] = [await scene.page('ada'), await scene.page('bob')];
  let forged = 0;
  await intercept(b.page, (_, record) => {
    const signal = signalOf(record);
    if (signal?.data.type === 'description') {
      signal.data.description.sdp = forge(signal.data.description.sdp);
      forged++;
    }
    return record;
  });
  const ada = await Talk.start(a, server.origin, 'Ada');
  const bob = await Talk.join(b, ada.link, 'Bob');
  await until('both know', async () => {
    const said = await Promise.all([ada, bob].map(async (one) => (await one.people()).join()));
    return said.every((text) => /could not be verified/.test(text));
  });
  assert.ok(forged > 0);
  await ada.say('sealed all the same');
  await bob.seesOnly('sealed all the same');
  await ada.reaches('Bob', /through the server/);
});
