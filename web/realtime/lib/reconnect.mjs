/** Clients that lose their connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './conditions.mjs';
import { Proxy } from './proxy.mjs';
import { Service } from './service.mjs';

/** `scene()` as in exchange.mjs. Each test leads its clients through a proxy. */
export function reconnect(scene, combinations) {
  for (const c of combinations) {
    test(`${c.transport}, ${c.protocol}: the service stops and starts again`, () => led(scene, (proxy) => drained(scene(), proxy, c)));
  }
  for (const protocol of ['json', 'messagepack']) {
    const c = { transport: 'WebSockets', protocol, stateful: { bufferSize: 100_000 } };
    test(`stateful, ${protocol}: cut in the middle of bursts, nothing is lost and nothing doubled`, () => led(scene, (proxy) => cut(scene(), proxy, c)));
    test(`stateful, ${protocol}: the client's buffer is full and the acknowledgment was lost`, () => led(scene, (proxy) => unacknowledged(scene(), proxy, c)));
    test(`stateful, ${protocol}: the service starts again, and the client begins anew`, () => led(scene, (proxy) => drained(scene(), proxy, c)));
  }
}

async function led(scene, run) {
  const { app, service } = scene();
  const proxy = await Proxy.start(service.endpoint);
  try {
    app.use(scene().service, { through: proxy.endpoint });
    app.methods.first = ({ arguments: [value] }) => value;
    await run(proxy);
  } finally {
    await scene().place.clear();
    await proxy.close();
    app.use(scene().service);
  }
}

async function drained(scene, proxy, options) {
  const { app, place, scratch } = scene;
  const client = await place.started({ url: app.url({ user: 'ann' }), reconnect: true, ...options });
  const first = client.connectionId;
  const before = scene.service;
  assert.deepEqual(await before.stop(), { code: 0, signal: null }, before.stderr);
  await client.state('reconnecting');
  await app.event('disconnected', first); // upstream hears of it before the process ends

  scene.service = await Service.start(scratch.dir, { upstream: app.upstreams() });
  assert.equal(scene.service.key, before.key, 'the key is kept in the data directory');
  app.use(scene.service, { through: proxy.endpoint });
  proxy.lead(scene.service.endpoint);
  const { id } = await client.state('reconnected');
  assert.notEqual(id, first);
  await app.event('connected', id);
  assert.deepEqual(await client.invoke('first', 'again'), { result: 'again' });
  await app.send('users/ann', 'hello again');
  assert.deepEqual(await client.received(1), [['hello again']]);
}

const wave = 50; // messages each way
const padding = 'p'.repeat(200);
const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** Sends waves of messages both ways, without waiting for their arrival, until all cuts have happened: the number of messages, and of waves. */
async function waves({ app }, proxy, client, cuts) {
  const going = [];
  let n = 0;
  for (let i = 0; n < 8 * wave || (proxy.sockets.length <= cuts && n < 100 * wave); i++, n += wave) {
    going.push(client.burst('count', n, wave, padding), client.invoke('first', i).then(({ result }) => assert.equal(result, i)));
    for (let j = 0; j < wave; j++) await app.send('groups/burst', n + j, padding);
  }
  await Promise.all(going);
  return n;
}

async function cut(scene, proxy, options) {
  const { app, place } = scene;
  // Cut after so many bytes: in the middle of frames, at first from below, then from above, then in a replay.
  proxy.plan = [{ up: 20_000 }, { down: 15_000 }, { up: 9_000 }, { down: 300 }, { up: 700 }, { down: 25_001 }, { up: 30_007 }];
  const cuts = proxy.plan.length;
  const client = await place.started({ url: app.url({ user: 'ann' }), ...options });
  const id = client.connectionId;
  await app.call('PUT', `groups/burst/connections/${id}`);
  const n = await waves(scene, proxy, client, cuts);
  await app.send('groups/burst', 'end');
  assert.deepEqual(await client.invoke('first', 'end'), { result: 'end' });

  assert.deepEqual((await client.received(n + 1)).map(([i]) => i), [...upTo(n), 'end']);
  assert.deepEqual((await app.invocations('count', id, n)).map(([i]) => i), upTo(n));
  assert.equal(proxy.sockets.length, cuts + 1, 'each of the cuts happened');
  assert.deepEqual(await client.allStates(), [], 'the client noticed nothing');
  assert.equal(await client.id(), id);
  assert.deepEqual(app.events.items.filter((e) => e.connectionId === id && e.category === 'connections').map((e) => e.event), ['connected']);
  await client.stop();
  await app.event('disconnected', id);
}

async function unacknowledged(scene, proxy, options) {
  const { app, place } = scene;
  const client = await place.started({ url: app.url(), ...options, stateful: { bufferSize: 1000 } });
  const [{ down, cut: cutNow }] = proxy.sockets;
  down.swallow = true;
  const sent = client.send('count', padding.repeat(10)); // resolves when it is acknowledged, as the buffer is full
  await app.invocations('count', client.connectionId, 1);
  await until('acknowledged', () => down.swallowed > 0);
  cutNow();
  assert.equal(await sent, undefined);
  assert.deepEqual(await client.invoke('first', 1), { result: 1 });
  assert.equal((await app.invocations('count', client.connectionId, 1)).length, 1);
}
