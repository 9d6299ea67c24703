/** The data plane's tokens, and what changes without a restart: keys and upstreams. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { join } from 'node:path';
import { App } from './lib/app.mjs';
import { until } from './lib/conditions.mjs';
import { inNode } from './lib/places.mjs';
import { stage } from './lib/scene.mjs';
import { replaceFile, scratch, Service } from './lib/service.mjs';
import { clientToken, restToken, sign } from './lib/tokens.mjs';

const message = { target: 'message', arguments: ['forbidden'] };

describe('tokens of the data plane', () => {
  const scene = stage(inNode);
  const path = 'v1/hubs/chat/users/ann';
  const exp = Math.floor(Date.now() / 1000) + 60;
  const bad = {
    'a client\'s': (app) => clientToken(app, 'chat'),
    'a client\'s, for the path as well as it can be said': (app) => clientToken(app, 'chat', { changes: { aud: `${app.endpoint}/client/?hub=chat&x=/api/${path}` } }),
    'one for another user': (app) => restToken(app, '/api/v1/hubs/chat/users/bob'),
    'one for the hub': (app) => restToken(app, '/api/v1/hubs/chat'),
    'one for another hub': (app) => restToken(app, '/api/v1/hubs/other/users/ann'),
    'one for the dated path': (app) => restToken(app, '/api/hubs/chat/users/ann/:send'),
    'one for a longer path': (app) => restToken(app, `/api/${path}/groups/g`),
    'an expired one': (app) => restToken(app, `/api/${path}`, { exp: exp - 120 }),
    'one that never expires': (app) => restToken(app, `/api/${path}`, { exp: undefined }),
    'one by another key': ({ endpoint }) => sign('another key than the service has', { aud: `${endpoint}/api/${path}`, exp }),
    'none': () => '',
  };
  for (const [name, token] of Object.entries(bad)) {
    test(`refused: ${name}`, async () => {
      const { app, place } = scene();
      const ann = await place.started({ url: app.url({ user: 'ann' }) });
      const answer = await app.rest('POST', path, message, { token: token(app) });
      assert.equal(answer.status, 401, answer.text);
      assert.equal(answer.headers.get('WWW-Authenticate'), 'Bearer');
      await app.send('users/ann', 'allowed');
      assert.deepEqual(await ann.received(1), [['allowed']]);
    });
  }
  test('a client\'s token opens no path of the data plane', async () => {
    const { app } = scene();
    const token = clientToken(app, 'chat');
    const calls = [
      ['POST', 'hubs/chat/:send'], ['POST', 'hubs/chat/groups/g/:send'], ['POST', 'hubs/chat/connections/c/:send'], ['POST', 'hubs/chat/connections/c/:invoke'],
      ['POST', 'hubs/chat/:closeConnections'], ['POST', 'hubs/chat/:generateToken'], ['POST', 'hubs/chat/:execute'], ['PUT', 'hubs/chat/groups/g/connections/c'],
      ['PUT', 'hubs/chat/users/ann/groups/g'], ['DELETE', 'hubs/chat/connections/c'], ['GET', 'hubs/chat/connections'], ['GET', 'hubs/chat/:count'],
    ];
    for (const [method, target] of calls) {
      const answer = await app.rest(method, `${target}?api-version=2024-12-01`, method === 'POST' ? message : undefined, { token });
      assert.equal(answer.status, 401, `${method} ${target}`);
    }
    assert.equal((await fetch(`${app.endpoint}/api/health`)).status, 200, 'health is for everybody');
  });
});

describe('changes without a restart', () => {
  const keys = { first: 'first-key-of-the-realtime-tests-0', second: 'second-key-of-the-realtime-tests-', third: 'third-key-of-the-realtime-tests-0' };
  let app, other, service, place, space, config;
  before(async () => {
    space = await scratch();
    [app, other, place] = [await App.start(), await App.start(), inNode()];
    const files = ['primary', 'secondary'].map((name) => join(space.dir, name));
    await replaceFile(files[0], keys.first);
    await replaceFile(files[1], keys.second);
    config = { access_key: files.map((file) => `file:${file}`), upstream: app.upstreams('/first') };
    service = await Service.start(space.dir, config);
    config.files = files;
    for (const a of [app, other]) {
      a.use({ endpoint: service.endpoint, key: keys.first }, { keys: [keys.first, keys.second] });
      a.methods.first = ({ arguments: [value] }) => value;
    }
  });
  after(async () => {
    await place?.clear();
    const ended = await service?.stop();
    await Promise.all([app?.close(), other?.close(), space?.remove()]);
    assert.deepEqual(ended, { code: 0, signal: null });
  });

  test('a configured key is not printed', () => {
    assert.equal(service.key, undefined);
    for (const key of Object.values(keys)) assert.ok(!`${service.stdout}${service.stderr}`.includes(key));
  });

  test('the primary key is replaced', async () => {
    const connect = (key) => place.client({ url: app.clientUrl(), token: clientToken({ ...app, key }, 'chat') });
    const call = async (key) => (await app.rest('POST', 'v1/hubs/chat', message, { token: restToken({ ...app, key }, '/api/v1/hubs/chat') })).status;
    assert.deepEqual([await call(keys.first), await call(keys.second), await call(keys.third)], [202, 202, 401]);
    const early = await connect(keys.first);
    const id = await early.start();
    assert.deepEqual(await early.invoke('first', 1), { result: 1 });

    await replaceFile(config.files[0], keys.third);
    await until('accepted with the new key', async () => (await call(keys.third)) === 202);
    assert.deepEqual([await call(keys.first), await call(keys.second)], [401, 202]);
    await assert.rejects((await connect(keys.first)).start(), /401/);
    await (await connect(keys.second)).start();
    app.use({ endpoint: service.endpoint, key: keys.third }, { keys: [keys.third, keys.second] });
    await (await connect(keys.third)).start();
    // Who was connected stays, and webhooks are signed by the new keys: the app checks.
    assert.deepEqual(await early.invoke('first', 2), { result: 2 });
    assert.equal(await early.id(), id);
    assert.deepEqual(app.problems, []);
  });

  test('upstreams are replaced, and a broken file changes nothing', async () => {
    other.use(app, { keys: app.keys });
    const client = await place.client({ url: app.clientUrl(), token: clientToken(app, 'chat') });
    const id = await client.start();
    assert.deepEqual(await client.invoke('first', 'one'), { result: 'one' });
    assert.equal((await app.event('first', id)).path, '/first/chat/messages/first');

    const { access_key: accessKey } = config;
    await service.configure('upstream: [}');
    await service.logged(/configuration not reloaded/);
    assert.deepEqual(await client.invoke('first', 'still'), { result: 'still' });

    await service.configure({ access_key: accessKey, upstream: other.upstreams('/second') });
    await service.logged(/upstreams reloaded/);
    assert.deepEqual(await client.invoke('first', 'two'), { result: 'two' });
    const moved = await other.event('first', id);
    assert.deepEqual([moved.path, moved.arguments], ['/second/chat/messages/first', ['two']]);

    await service.configure({ access_key: accessKey, upstream: [{ url: '{@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/x)}/api' }] });
    await service.logged(/configuration not reloaded.*[Kk]ey ?[Vv]ault/);
    assert.deepEqual(await client.invoke('first', 'three'), { result: 'three' });
    assert.deepEqual([...app.problems, ...other.problems], []);
  });
});

describe('the hub "echo"', () => {
  const scene = stage(inNode, { args: ['--echo'] });
  test('clients reach each other', async () => {
    const { app, place } = scene();
    const start = (protocol) => place.started({ url: app.url({ hub: 'echo' }), protocol });
    const [one, two] = [await start('json'), await start('messagepack')];
    assert.deepEqual(await one.invoke('send', two.connectionId, { to: 'two' }), { none: true });
    assert.deepEqual(await two.invoke('join', 'g'), { none: true });
    assert.deepEqual(await one.invoke('group', 'g', [1, 2]), { none: true });
    assert.deepEqual(await two.invoke('broadcast', 'all'), { none: true });
    assert.deepEqual(await two.received(3), [[{ to: 'two' }], [[1, 2]], ['all']]);
    assert.deepEqual(await one.received(1), [['all']]);
    assert.match((await one.invoke('nonsense')).error, /no such target/);
  });
});
