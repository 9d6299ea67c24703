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

const count = 400; // messages each way
const padding = 'p'.repeat(200);

async function cut(scene, proxy, options) {
  const { app, place } = scene;
  // Cut after so many bytes: in the middle of frames, at first from below, then from above, then in a replay.
  proxy.plan = [{ up: 20_000 }, { down: 15_000 }, { up: 9_000 }, { down: 300 }, { up: 700 }, { down: 25_001 }, { up: 30_007 }];
  const cuts = proxy.plan.length;
  const client = await place.started({ url: app.url({ user: 'ann' }), ...options });
  const id = client.connectionId;
  await app.call('PUT', `groups/burst/connections/${id}`);
  const sending = client.burst('count', 0, count, padding);
  const asking = (async () => {
    const results = [];
    for (let i = 0; i < 20; i++) results.push((await client.invoke('first', `${i} ${padding}`)).result?.split(' ')[0]);
    return results;
  })();
  for (let i = 0; i < count; i++) await app.send('groups/burst', i, padding);
  await sending;
  assert.deepEqual(await asking, Array.from({ length: 20 }, (_, i) => String(i)));
  await app.send('groups/burst', 'end');
  assert.deepEqual(await client.invoke('first', 'end'), { result: 'end' });

  const numbers = Array.from({ length: count }, (_, i) => i);
  const down = (await client.received(count + 1)).map(([i]) => i);
  assert.deepEqual(down, [...numbers, 'end']);
  const up = (await app.invocations('count', id, count)).map(([i]) => i);
  assert.deepEqual(up, numbers);
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
