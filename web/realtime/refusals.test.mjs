/** Who may connect, and who may not: tokens, hubs, versions, limits. The real client tells what it makes of each refusal. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inChromium, inNode } from './lib/places.mjs';
import { stage } from './lib/scene.mjs';
import { clientToken, restToken, sign } from './lib/tokens.mjs';

/** The real client must not start with this token; negotiate and a WebSocket without it answer `status`. */
async function refused({ app, place }, { token, hub = 'chat', status = 401 }) {
  for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
    const client = await place.client({ url: app.clientUrl(hub), token, transport });
    await assert.rejects(client.start(), new RegExp(`Failed to complete negotiation.*'?${status}`, 's'), transport);
  }
  const direct = await place.client({ url: app.clientUrl(hub), token, transport: 'WebSockets', skipNegotiation: true });
  await assert.rejects(direct.start(), /WebSocket failed to connect/);
}

/** Negotiates without a client: {status, json, headers}. */
async function negotiate(app, query, token, options = {}) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...options.headers };
  const response = await fetch(`${app.endpoint}/client/negotiate?${query}`, { method: 'POST', ...options, headers });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: response.ok && text ? JSON.parse(text) : undefined };
}

describe('tokens of clients', () => {
  const scene = stage(inNode);
  const now = Math.floor(Date.now() / 1000);
  const bad = {
    'no token': () => undefined,
    'no token at all': () => 'nonsense',
    'another key': ({ endpoint }) => clientToken({ endpoint, key: 'another key than the service has' }, 'chat'),
    'no signature': (app) => clientToken(app, 'chat').replace(/[^.]*$/, ''),
    'algorithm none': (app) => sign(app.key, { aud: `${app.endpoint}/client/?hub=chat`, exp: now + 60 }, { header: { alg: 'none' } }).replace(/[^.]*$/, ''),
    expired: (app) => clientToken(app, 'chat', { changes: { exp: now - 1, nbf: now - 100, iat: now - 100 } }),
    'no expiry': (app) => clientToken(app, 'chat', { changes: { exp: undefined } }),
    'no audience': (app) => clientToken(app, 'chat', { changes: { aud: undefined } }),
    'the audience of the data plane': (app) => restToken(app, '/api/v1/hubs/chat'),
    'the audience without its hub': (app) => clientToken(app, 'chat', { changes: { aud: `${app.endpoint}/client/` } }),
    'another hub': (app) => clientToken(app, 'other'),
    'longer than 4 KB': (app) => clientToken(app, 'chat', { claims: { filler: 'f'.repeat(4096) } }),
  };
  for (const [name, token] of Object.entries(bad)) {
    test(`refused: ${name}`, () => refused(scene(), { token: token(scene().app) }));
  }
  const good = {
    'signed by HS512': (app) => clientToken(app, 'chat', { alg: 'HS512' }),
    'the audience without a port, as .NET writes it': (app) => clientToken(app, 'chat', { changes: { aud: `${app.endpoint.replace(/:\d+$/, '')}/client/?hub=chat` } }),
    'several audiences': (app) => clientToken(app, 'chat', { changes: { aud: ['https://other.example', `${app.endpoint}/client/?hub=chat`] } }),
    'another case of the hub': (app) => clientToken(app, 'CHAT'),
    'a user in asrs.s.uid': (app) => clientToken(app, 'chat', { claims: { 'asrs.s.uid': 'ann' } }),
  };
  for (const [name, token] of Object.entries(good)) {
    test(`accepted: ${name}`, async () => {
      const { app, place } = scene();
      const client = await place.started({ url: app.clientUrl(), token: token(app) });
      const event = await app.event('connected', client.connectionId);
      if (name.startsWith('a user')) assert.equal(event.user, 'ann');
    });
  }
  test('the transports that the token allows', async () => {
    const { app, place } = scene();
    const token = clientToken(app, 'chat', { claims: { 'asrs.s.htt': '4' } });
    const client = await place.started({ url: app.clientUrl(), token });
    await app.event('connected', client.connectionId);
    const other = await place.client({ url: app.clientUrl(), token, transport: 'WebSockets' });
    await assert.rejects(other.start(), /disabled by the client|None of the transports|Unable to connect/);
  });
});

describe('hubs and negotiation', () => {
  const scene = stage(inNode);
  // It is that of our own pages where they are served, too (internal/app); here nobody else has it.
  test('the hub signaling is one as any other', async () => {
    const { app } = scene();
    assert.equal((await negotiate(app, 'hub=signaling', clientToken(app, 'signaling'))).status, 200);
  });
  test('an impossible name of a hub', () => refused(scene(), { hub: '1st', token: clientToken(scene().app, '1st'), status: 400 }));
  test('two hubs at once', async () => {
    const { app } = scene();
    assert.equal((await negotiate(app, 'hub=chat&hub=other', clientToken(app, 'chat'))).status, 400);
  });
  test('versions of negotiate', async () => {
    const { app, place } = scene();
    const token = clientToken(app, 'chat');
    const ask = async (query) => (await negotiate(app, `hub=chat${query}`, token)).json;
    for (const query of ['', '&negotiateVersion=0']) {
      const old = await ask(query);
      assert.equal(old.negotiateVersion, 0);
      assert.equal(old.connectionToken, undefined);
    }
    for (const version of [1, 2]) {
      const { negotiateVersion, connectionId, connectionToken, availableTransports, ...rest } = await ask(`&negotiateVersion=${version}`);
      assert.equal(negotiateVersion, 1);
      assert.notEqual(connectionId, connectionToken);
      assert.deepEqual(availableTransports.map((t) => t.transport), ['WebSockets', 'ServerSentEvents', 'LongPolling']);
      assert.deepEqual(rest, {}, 'nothing is offered that was not asked for');
    }
    assert.match((await ask('&negotiateVersion=one')).error, /non-integer/);
    assert.equal((await ask('&negotiateVersion=1&useStatefulReconnect=true')).useStatefulReconnect, true);
    for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
      const client = await place.started({ url: app.clientUrl(), token, transport, negotiateVersion0: true });
      await app.event('connected', client.connectionId);
    }
    assert.equal((await negotiate(app, 'hub=chat', token, { method: 'GET' })).status, 405);
  });
  test('a WebSocket without negotiation', async () => {
    const { app, place } = scene();
    app.methods.first = ({ arguments: [value] }) => value;
    for (const protocol of ['json', 'messagepack']) {
      const user = `direct ${protocol}`;
      const client = await place.started({ url: app.clientUrl(), token: clientToken(app, 'chat', { user }), transport: 'WebSockets', skipNegotiation: true, protocol });
      assert.equal(client.connectionId, null, 'nobody told the client its id');
      assert.deepEqual(await client.invoke('first', 1), { result: 1 });
      await app.send(`users/${encodeURIComponent(user)}`, 'hello');
      assert.deepEqual(await client.received(1), [['hello']]);
    }
  });
});

describe('a limit of connections', () => {
  const scene = stage(inNode, { config: { max_connections_per_address: 2 } });
  test('negotiate answers 429, and the client says so', async () => {
    const { app, place } = scene();
    const one = await place.started({ url: app.url() });
    await place.started({ url: app.url() });
    await refused(scene(), { token: clientToken(app, 'chat'), status: 429 });
    await one.stop();
    await app.event('disconnected', one.connectionId);
    await place.started({ url: app.url(), reconnect: true });
  });
});

describe('origins of pages', () => {
  const scene = stage((app) => inChromium(app.origin), { config: { allowed_origin: ['https://send.example'] } });
  test('a page of another origin cannot connect', async () => {
    const { app, place } = scene();
    for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
      const client = await place.client({ url: app.url(), transport });
      await assert.rejects(client.start(), /Failed to complete negotiation/);
    }
    const direct = await place.client({ url: app.clientUrl(), token: clientToken(app, 'chat'), transport: 'WebSockets', skipNegotiation: true });
    await assert.rejects(direct.start(), /WebSocket failed to connect/);
  });
});
