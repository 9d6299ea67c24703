/** What clients and applications say to each other, over one transport in one protocol. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Answer, HubError } from './app.mjs';
import { until } from './conditions.mjs';

export const combinations = [
  { transport: 'WebSockets', protocol: 'json' },
  { transport: 'WebSockets', protocol: 'messagepack' },
  { transport: 'ServerSentEvents', protocol: 'json' },
  { transport: 'LongPolling', protocol: 'json' },
  { transport: 'LongPolling', protocol: 'messagepack' },
];

const kinds = { json: 'application/json', messagepack: 'application/x-msgpack' };

/** Values that must come back as they went. */
const values = [null, true, false, 0, -1, 1.5, 9007199254740991, -9007199254740991, '', 'é 漢 🚀 \u0000 \u001e "\\', [], {}, { a: [1, { b: null }] }];

const methods = {
  echo: ({ arguments: args }) => args,
  first: ({ arguments: [value] }) => value,
  nothing: () => undefined,
  refuse: () => {
    throw new HubError('not today');
  },
  fail: () => {
    throw new Answer(500, 'a stack trace');
  },
  garbage: () => {
    throw new Answer(200, 'no completion');
  },
  count: () => undefined,
};

/** `scene()` returns {app, service, place}, which are made before the tests run. */
export function exchange(scene, { transport, protocol }) {
  const start = (options = {}) => {
    const { app, place } = scene();
    Object.assign(app.methods, methods);
    const { user, hub, ...rest } = options;
    return place.started({ url: app.url({ user, hub, ...(user && { role: 'tester' }) }), transport, protocol, ...rest });
  };
  const context = { scene, start, protocol, transport };
  test('invoke and send, and what the application sees of them', () => invocations(context));
  test('errors of invocations', () => failures(context));
  test('results of clients', () => clientResults(context));
  test('users, groups and exclusions', () => recipients(context));
  test('messages of 900 KB, both ways', () => large(context));
  test('a burst keeps its order, both ways', () => order(context));
  test('a message over the limit is refused', () => oversized(context));
  test('integers beyond 2^53 stay what they are', () => integers(context));
  test('the application closes connections', () => closing(context));
}

async function invocations({ scene, start, protocol }) {
  const { app } = scene();
  const client = await start({ user: 'ann' });
  const id = client.connectionId;
  assert.deepEqual(await client.invoke('echo', ...values), { result: values });
  assert.deepEqual(await client.invoke('first', null), { result: null });
  assert.deepEqual(await client.invoke('nothing'), { none: true });
  assert.equal(await client.send('count', 'one'), undefined);
  assert.deepEqual(await app.invocations('count', id, 1), [['one']]);

  const mine = app.events.items.filter((e) => e.connectionId === id);
  assert.deepEqual(mine.map((e) => e.event), ['connected', 'echo', 'first', 'nothing', 'count'], 'connected comes before all, the rest in order');
  assert.deepEqual(mine[0].body, { type: 10 });
  assert.equal(mine[0].kind, 'application/json');
  for (const event of mine) {
    assert.equal(event.user, 'ann');
    assert.equal(event.hub, 'chat');
    assert.match(event.claims, /(^|, )role: tester(,|$)/);
    assert.match(event.query, /^\?hub=chat(&|$)/);
    assert.doesNotMatch(event.query, /access_token|[?&]id=/, 'secrets are not passed on');
    assert.equal(event.path, `/upstream/chat/${event.category}/${event.event}`);
  }
  assert.equal(mine[1].kind, kinds[protocol]);
  await client.stop();
  assert.deepEqual((await app.event('disconnected', id)).body, { type: 11 });
}

async function failures({ start }) {
  const client = await start();
  assert.match((await client.invoke('refuse')).error, /not today/);
  const { error } = await client.invoke('fail');
  assert.match(error, /Invocation failed, status code 500/);
  assert.doesNotMatch(error, /stack trace/);
  assert.match((await client.invoke('garbage')).error, /the response is not a completion/);
  assert.match(await client.stream('echo'), /streaming is not supported/);
  assert.deepEqual(await client.invoke('first', 'still here'), { result: 'still here' });

  const alone = await start({ hub: 'lonely' }); // no upstream takes its events
  assert.match((await alone.invoke('echo')).error, /no upstream is configured/);
  assert.equal(await alone.send('echo'), undefined);
  assert.match((await alone.invoke('echo')).error, /no upstream is configured/, 'and the connection lives on');
}

async function clientResults({ scene, start }) {
  const { app } = scene();
  const client = await start({ answers: { ask: { value: 'arguments' }, broken: { error: 'cannot' }, empty: { value: null } } });
  const ask = (target, ...args) => app.rest('POST', `hubs/chat/connections/${client.connectionId}/:invoke?api-version=2024-12-01`, { target, arguments: args });
  const answer = await ask('ask', ...values);
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json.result, values);
  assert.deepEqual((await ask('empty')).json, { result: null });
  const broken = await ask('broken');
  assert.equal(broken.status, 400);
  assert.match(broken.json.message, /cannot/);
  assert.match((await ask('unheard')).json.message, /Client didn't provide a result/);
  const gone = await app.rest('POST', 'v1/hubs/chat/connections/nobody/:invoke', { target: 'ask' });
  assert.equal(gone.status, 404);
  assert.equal(gone.headers.get('x-ms-error-code'), 'Error.Connection.NotExisted');
}

async function recipients({ scene, start }) {
  const { app, place } = scene();
  const one = await start({ user: 'ann' });
  const two = await start({ user: 'ann' });
  const three = await start({ user: 'bob' });
  await app.send('', 'all');
  await app.send(`?excluded=${one.connectionId}&excluded=${two.connectionId}`, 'not ann');
  await app.send('users/ann', 'ann');
  await app.send(`connections/${three.connectionId}`, 'three');
  await app.call('PUT', `groups/g%2F1/connections/${one.connectionId}`);
  await app.call('PUT', `groups/g%2F1/connections/${three.connectionId}`);
  await app.send('groups/g%2F1', 'group');
  await app.send(`groups/g%2F1?excluded=${three.connectionId}`, 'group without three');
  await app.call('DELETE', `groups/g%2F1/connections/${one.connectionId}`);
  await app.send('groups/g%2F1', 'group without one');
  await app.call('PUT', 'users/ann/groups/late');
  const four = await start({ user: 'ann' }); // a user's group has the user's later connections as well
  await app.send('groups/late', 'group of ann');
  await app.send('', 'end');
  const texts = async (client, n) => (await client.received(n)).map(([text]) => text);
  assert.deepEqual(await texts(one, 6), ['all', 'ann', 'group', 'group without three', 'group of ann', 'end']);
  assert.deepEqual(await texts(two, 4), ['all', 'ann', 'group of ann', 'end']);
  assert.deepEqual(await texts(three, 6), ['all', 'not ann', 'three', 'group', 'group without one', 'end']);
  assert.deepEqual(await texts(four, 2), ['group of ann', 'end']);
  const exists = async (path) => (await app.rest('HEAD', `v1/hubs/chat/${path}`)).status;
  assert.deepEqual([await exists('users/ann'), await exists('groups/late'), await exists('users/eve')], [200, 200, 404]);
  await app.call('DELETE', 'users/ann/groups/late');
  await place.clear();
  await until('gone', async () => (await exists('users/ann')) === 404);
}

async function large({ scene, start }) {
  const { app } = scene();
  const client = await start();
  const size = 900_000;
  assert.equal(await client.echoLarge('first', size), true);
  await app.send(`connections/${client.connectionId}`, 'y'.repeat(size));
  await app.send(`connections/${client.connectionId}`, 'after');
  assert.deepEqual(await client.receivedLengths(2), [size, 5]);
}

async function order({ scene, start }) {
  const { app } = scene();
  const client = await start();
  const count = 100;
  const sending = client.burst('count', 0, count);
  for (let i = 0; i < count; i++) await app.send(`connections/${client.connectionId}`, i);
  await sending;
  const numbers = Array.from({ length: count }, (_, i) => i);
  assert.deepEqual((await app.invocations('count', client.connectionId, count)).map(([i]) => i), numbers);
  assert.deepEqual((await client.received(count)).map(([i]) => i), numbers);
}

async function oversized({ start, transport, scene }) {
  const client = await start();
  const failed = await client.sendLarge('first', 2_000_000);
  if (transport === 'WebSockets') {
    // Nobody answers what is sent over a socket; the connection ends, for good.
    assert.match((await client.state('closed')).error, /The message was too large/);
    assert.equal((await scene().app.event('disconnected', client.connectionId)).body.error, 'The message was too large.');
  } else {
    assert.match(failed, /413|Too Large/);
  }
  const other = await start();
  assert.deepEqual(await other.invoke('first', 1), { result: 1 });
}

async function integers({ scene, start, protocol }) {
  const { app } = scene();
  const big = '9007199254740993';
  const client = await start({ watch: true, answers: { ask: { value: `integer:${big}` } } });
  await app.call('POST', `connections/${client.connectionId}/:send`, `{"target":"message","arguments":[${big},-${big},18446744073709551615]}`);
  await client.received(1);
  const traffic = (await client.traffic()).in.join('');
  const want = protocol === 'json' ? `[${big},-${big},18446744073709551615]` : 'd30020000000000001d3ffdfffffffffffffcfffffffffffffffff';
  assert.ok(traffic.includes(want), traffic);
  const answer = await app.rest('POST', `v1/hubs/chat/connections/${client.connectionId}/:invoke`, { target: 'ask' });
  assert.equal(answer.text, `{"result":${big}}`);
}

async function closing({ scene, start }) {
  const { app } = scene();
  const client = await start({ user: 'eve' });
  const other = await start({ user: 'eve', reconnect: true });
  assert.equal((await app.rest('DELETE', `v1/hubs/chat/connections/${client.connectionId}?reason=enough`)).status, 202);
  assert.match((await client.state('closed')).error, /enough/);
  assert.equal((await app.rest('POST', 'hubs/chat/users/eve/:closeConnections?api-version=2022-11-01&reason=again')).status, 204);
  // By default a client that the application closes may come back, if it wants to.
  const { id } = await other.state('reconnected');
  assert.notEqual(id, other.connectionId);
  assert.deepEqual(await other.invoke('first', 2), { result: 2 });
  const gone = await app.rest('DELETE', `v1/hubs/chat/connections/${client.connectionId}`);
  assert.deepEqual([gone.status, gone.headers.get('x-ms-error-code')], [404, 'Warning.Connection.NotExisted']);
}
