// Pages against peers and messages that don't keep to the protocol.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { link as hardLink, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gateWrites, nothingKept, pickedDigests, pickedSizes, stubPickers } from './lib/pickers.mjs';
import { intercept } from './lib/mitm.mjs';
import { scenario } from './lib/scenario.mjs';

const mib = 2 ** 20;
const done = (...peers) => Promise.all(peers.map((peer) => peer.shown('done', 240_000)));

scenario('names are cleaned on the sender’s side, and shown and stored clean', async (scene) => {
  const server = await scene.serve();
  const dir = await scene.directory();
  const names = ['a:b?.txt', 'CON.txt', 'trailing. ', 'evil\u202Egpj.exe', 'zero\u200Bwidth.txt', 'tab\there', 'plain.txt'];
  const files = [];
  for (const name of names) {
    await writeFile(join(dir, name), name);
    files.push({ path: join(dir, name) });
  }
  await mkdir(join(dir, 'other'));
  await hardLink(join(dir, 'plain.txt'), join(dir, 'other', 'PLAIN.txt'));
  files.push({ path: join(dir, 'other', 'PLAIN.txt') });
  const [sender, receiver] = await scene.pair(server, files, { scripts: [stubPickers] });
  await receiver.accept();
  await done(sender, receiver);
  const stored = Object.keys(await receiver.page.evaluate(pickedSizes)).sort();
  const want = ['PLAIN (1).txt', '_CON.txt', 'a_b_.txt', 'evil_gpj.exe', 'plain.txt', 'tab_here', 'trailing', 'zero_width.txt'];
  assert.deepEqual(stored, want);
  const list = await receiver.page.locator('li').allTextContents();
  for (const name of want) assert.ok(list.some((line) => line.includes(name)), `${name} in ${list}`);
});

/** Runs in a sender's page: control messages go out as `change` makes them. */
function tamperControl(change) {
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (data) {
    return send.call(this, this.label === 'control' ? change(data) : data);
  };
}

/** A sender whose page runs `script`, and a receiver. */
async function hostileSender(scene, script, file) {
  const server = await scene.serve();
  const sender = await scene.page('hostile sender');
  await sender.page.addInitScript(script);
  await sender.offer(server.origin, [file.path]);
  return [sender, await scene.guest(sender.link, { scripts: [stubPickers] })];
}

scenario('a hostile sender’s names are cleaned by the receiver', async (scene) => {
  const file = await scene.file('x.bin', 1000);
  const rename = (data) => data.replace('"x.bin"', JSON.stringify('../../.ssh/authorized_keys\u202E'));
  const [sender, receiver] = await hostileSender(scene, `(${tamperControl})(${rename})`, file);
  await receiver.accept();
  await done(sender, receiver);
  const [name] = Object.keys(await receiver.page.evaluate(pickedSizes));
  assert.doesNotMatch(name, /[/\\\u202E]/);
  assert.notEqual(name[0], '/');
  assert.deepEqual(Object.values(await receiver.page.evaluate(pickedDigests)), [file.sha256]);
});

scenario('a hostile sender’s messages that are none end the transfer', async (scene) => {
  const file = await scene.file('x.bin', 1000);
  const spoil = (data) => (data.includes('"manifest"') ? '{"type":"manifest","files":[{"name":1}],"last":true}' : data);
  const [sender, receiver] = await hostileSender(scene, `(${tamperControl})(${spoil})`, file);
  assert.match(await receiver.errorText(), /don’t understand each other/);
  assert.equal(await receiver.id('accept').count(), 0);
  assert.equal(await sender.id('done').count(), 0);
});

/** Runs in a sender's page: one bit of the third message of bytes is wrong. */
function flipBit() {
  const send = RTCDataChannel.prototype.send;
  let sent = 0;
  RTCDataChannel.prototype.send = function (data) {
    if (this.label === 'data' && ++sent === 3) {
      const copy = new Uint8Array(data).slice();
      copy[copy.length - 1] ^= 1;
      return send.call(this, copy);
    }
    return send.call(this, data);
  };
}

scenario('one wrong bit is found, and nothing is kept', async (scene) => {
  const file = await scene.file('x.bin', 3 * mib);
  const [sender, receiver] = await hostileSender(scene, flipBit, file);
  await receiver.accept();
  assert.match(await receiver.errorText(), /not the sender’s/);
  assert.match(await sender.errorText(), /other bytes than were sent/);
  assert.equal(await receiver.id('done').count(), 0);
  await nothingKept(receiver);
});

/** Runs in a sender's page: it sends bytes that nobody has granted, as soon as it can. */
function ignoreCredit() {
  const add = RTCDataChannel.prototype;
  const descriptor = Object.getOwnPropertyDescriptor(add, 'onmessage');
  Object.defineProperty(add, 'onmessage', {
    ...descriptor,
    set(handler) {
      descriptor.set.call(this, (event) => {
        const greedy = this.label === 'control' && typeof event.data === 'string' && event.data.includes('"credit"');
        handler.call(this, greedy ? new MessageEvent('message', { data: '{"type":"credit","bytes":1000000000}' }) : event);
      });
    },
  });
}

scenario('a sender that ignores the receiver’s credit is cut off', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('flood.bin', 40 * mib);
  const sender = await scene.page('flooding sender');
  await sender.page.addInitScript(ignoreCredit);
  await sender.offer(server.origin, [file.path]);
  const receiver = await scene.guest(sender.link, { scripts: [stubPickers, gateWrites] });
  await receiver.accept();
  assert.match(await receiver.errorText(), /don’t understand each other/);
});

for (const [what, spoil, code] of [
  ['malformed', (message) => ({ ...message, n: 'x' }), 'bad_message'],
  ['oversized', (message) => ({ ...message, padding: randomBytes(40_000).toString('hex') }), 'too_large'],
]) {
  for (const side of ['sender', 'receiver']) {
    scenario(`the server refuses a ${what} message of the ${side}, and the page says so`, async (scene) => {
      const server = await scene.serve();
      const file = await scene.file('x.bin', 1000);
      const [sender, receiver] = [await scene.page('sender'), await scene.page('receiver')];
      const bad = side === 'sender' ? sender : receiver;
      let spoilt = 0;
      await intercept(bad.page, (direction, record) => {
        if (direction === 'down' || record.target !== 'hello' || spoilt++ > 0) return record;
        return { ...record, arguments: [spoil(record.arguments[0])] };
      });
      await sender.offer(server.origin, [file.path]);
      await receiver.visit(sender.link);
      const text = await bad.errorText();
      assert.match(text, /The server refused a message/);
      assert.match(text, new RegExp(code));
      assert.equal(spoilt > 0, true);
    });
  }
}
