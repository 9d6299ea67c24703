// The binary as an operator and an attacker meet it, without a browser.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { post } from './lib/hubclient.mjs';
import { scenario } from './lib/scenario.mjs';
import { Run, causeway } from './lib/server.mjs';

const everywhere = ['--listen', '127.0.0.1:0', '--turn-listen', '127.0.0.1:0'];

/** Asserts a failure as the CLI tells it, and returns its standard error. */
function failed({ code, stdout, stderr }, wantCode, ...patterns) {
  assert.equal(code, wantCode, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /^causeway: error: /m);
  for (const pattern of patterns) assert.match(stderr, pattern);
  assert.doesNotMatch(stderr, /goroutine|panic/);
  return stderr;
}

scenario('starts, says where it is, and answers there', async (scene) => {
  const server = await scene.serve({ listen: '127.0.0.1:0', turnListen: '127.0.0.1:0' });
  assert.match(server.origin, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.ok(server.relayUrls.some((url) => /^turn:127\.0\.0\.1:\d+/.test(url)), server.stdout);
  const page = await fetch(server.origin);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type'), /^text\/html/);
  assert.match(await page.text(), /<title>[^<]*Causeway/);
  const other = await scene.serve({ listen: '127.0.0.1:0', turnListen: 'off' });
  assert.notEqual(other.port, server.port);
  assert.deepEqual(other.relayUrls, []);
});

test('each command explains itself', async () => {
  for (const command of ['', 'serve', 'config', 'config check', 'config print', 'config reference', 'bench', 'bench start']) {
    const { code, stdout, stderr } = await causeway([...command.split(' ').filter(Boolean), '--help']);
    assert.deepEqual({ command, code, stderr }, { command, code: 0, stderr: '' });
    assert.match(stdout, /^Usage: causeway/m, command);
    if (command.startsWith('bench') || command === '' || command === 'config' || command.endsWith('reference')) continue;
    for (const flag of ['listen', 'turn-listen', 'public-ip', 'public-url', 'data-dir', 'tls-cert', 'acme-domain', 'trusted-proxy']) {
      assert.match(stdout, new RegExp(`--${flag}\\b`), command);
      assert.ok(stdout.includes(`CAUSEWAY_${flag.toUpperCase().replaceAll('-', '_')}`), `${command}: the variable of --${flag}`);
    }
  }
  const version = await causeway(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\S/);
});

test('wrong usage is exit code 2, with a hint', async () => {
  const wrong = [
    [['sevre'], /sevre/],
    [['serve', '--no-such-flag'], /--no-such-flag/],
    [['serve', 'extra'], /extra/],
    [['serve', '--listen', 'nonsense'], /listen: "nonsense"/],
    [['serve', '--seats', '0'], /seats: must be at least 1/],
    [['serve', '--seats', 'many'], /--seats/],
    [['serve', '--session-lifetime', '0s'], /session_lifetime: must be at least 1s/],
    [['serve', '--log-level', 'loud'], /--log-level/],
    [['serve', '--public-url', 'ftp://example.org'], /public_url: /],
    [['serve', '--public-url', 'https://example.org/path'], /public_url: /],
    [['serve', '--relay-ports', '2-1'], /relay-ports/],
    [['serve', '--public-ip', 'here'], /public-ip/],
    [['serve', '--tls-cert', 'x.pem'], /tls_cert and tls_key go together/],
  ];
  for (const [args, pattern] of wrong) failed(await causeway(args), 2, pattern, /^causeway: hint: \S/m);
});

scenario('settings: flags win over the environment, that over the file, that over the defaults', async (scene) => {
  const file = join(await scene.directory(), 'causeway.yaml');
  await writeFile(file, 'seats: 3\nsession_lifetime: 3h\nlog_level: warn\n');
  const env = { CAUSEWAY_SEATS: '4', CAUSEWAY_SESSION_LIFETIME: '4h' };
  const { code, stdout, stderr } = await causeway(['config', 'print', '--config', file, '--seats', '5'], { env });
  assert.equal(code, 0, stderr);
  for (const line of ['seats: 5', 'session_lifetime: 4h0m0s', 'log_level: warn', 'drain_timeout: 10s']) assert.ok(stdout.includes(`${line}\n`), stdout);

  // The same in the server itself.
  const server = await scene.serve({ args: ['--config', file], env: { CAUSEWAY_SESSION_LIFETIME: '2m' } });
  const { json } = await post(server.origin, '/api/sessions');
  assert.equal(json.seats, 3);
  const life = json.expires - Date.now() / 1000;
  assert.ok(life > 60 && life <= 120, `${life} s`);
});

scenario('settings that are wrong are named, and secrets are not echoed', async (scene) => {
  const file = join(await scene.directory(), 'causeway.yaml');
  await writeFile(file, 'seats: 3\nlistne: :80\n');
  failed(await causeway(['serve', '--config', file]), 2, /listne/, /line 2/, /^causeway: hint: /m);
  failed(await causeway(['serve', '--config', `${file}.not`]), 2, /causeway\.yaml\.not/);
  const literal = Buffer.alloc(32, 7).toString('base64');
  const { code, stderr } = await causeway(['serve', ...everywhere, '--data-dir', await scene.directory(), '--signing-key', literal]);
  assert.equal(code, 2, stderr);
  assert.ok(!stderr.includes(literal.slice(0, 8)), stderr);
});

scenario('a taken port is told, with what to do', async (scene) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  scene.onClose(() => new Promise((resolve) => taken.close(resolve)));
  const address = `127.0.0.1:${taken.address().port}`;
  const dir = await scene.directory();
  const hint = /^causeway: hint: .*--listen.*--turn-listen/m;
  failed(await causeway(['serve', '--listen', address, '--turn-listen', 'off', '--data-dir', dir]), 1, new RegExp(address), hint);
  failed(await causeway(['serve', '--listen', '127.0.0.1:0', '--turn-listen', address, '--data-dir', dir]), 1, new RegExp(address), hint);
});

scenario('the key is made once, for its owner only, and links outlive the process', async (scene) => {
  const dataDir = join(await scene.directory(), 'new', 'data');
  const first = await scene.serve({ dataDir });
  const { json } = await post(first.origin, '/api/sessions');
  await first.stop();
  const path = join(dataDir, 'keys', 'signing.key');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(dataDir)).mode & 0o077, 0, 'others see nothing of the data directory');
  const key = await readFile(path);

  const second = await scene.serve({ dataDir });
  assert.deepEqual(await readFile(path), key);
  const joined = await post(second.origin, '/api/sessions/join', { invite: json.invite });
  assert.equal(joined.status, 200);
  assert.equal(joined.json.session, json.session);

  const other = await scene.serve();
  const foreign = await post(other.origin, '/api/sessions/join', { invite: json.invite });
  assert.deepEqual([foreign.status, foreign.json.code], [404, 'unknown_link']);
});

scenario('health, readiness, metrics', async (scene) => {
  const server = await scene.serve();
  for (const path of ['/healthz', '/readyz']) {
    const response = await fetch(server.origin + path);
    assert.deepEqual([path, response.status, await response.text()], [path, 200, 'ok\n']);
    assert.equal(response.headers.get('cache-control'), 'no-store');
  }
  const client = await scene.hubHost(server);
  const metrics = await (await fetch(`${server.origin}/metrics`)).text();
  assert.match(metrics, /^causeway_build_info\{version="[^"]+"\} 1$/m);
  assert.match(metrics, /^go_goroutines \d/m);
  assert.match(metrics, /^causeway_\w*connections\w*(\{[^}]*\})? 1$/m);
  assert.doesNotMatch(metrics, new RegExp(`${client.session}|${client.peer}`), 'labels say nothing about anybody');
});

scenario('security headers are on everything', async (scene) => {
  const server = await scene.serve();
  const head = await (await fetch(server.origin)).text();
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(head)?.[1];
  assert.ok(script, 'the page has a script of its own');
  for (const [method, path] of [['GET', '/'], ['GET', script], ['GET', '/sw.js'], ['GET', '/nothing'], ['POST', '/api/sessions'], ['GET', '/healthz'], ['PUT', '/']]) {
    const { headers } = await fetch(server.origin + path, { method });
    const policy = Object.fromEntries(headers.get('content-security-policy').split(';').map((d) => d.trim().split(/ (.*)/)));
    const what = `${method} ${path}`;
    assert.equal(policy['default-src'], "'none'", what);
    assert.equal(policy['script-src'], "'self'", what);
    assert.equal(policy['style-src'], "'self'", what);
    assert.equal(policy['frame-ancestors'], "'none'", what);
    assert.equal(policy['base-uri'], "'none'", what);
    assert.equal(policy['form-action'], "'none'", what);
    for (const sources of Object.values(policy)) assert.doesNotMatch(sources, /unsafe|\*|https?:/, what);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', what);
    assert.equal(headers.get('referrer-policy'), 'no-referrer', what);
    assert.equal(headers.get('x-frame-options'), 'DENY', what);
    assert.equal(headers.get('access-control-allow-origin'), null, what);
    assert.equal(headers.get('server'), null, what);
  }
  assert.match((await fetch(server.origin + script)).headers.get('cache-control'), /immutable/);
  assert.equal((await fetch(server.origin)).headers.get('cache-control'), 'no-cache');
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  scenario(`${signal} drains: not ready, clients are told to come back, exit code 0`, async (scene) => {
    const server = await scene.serve();
    const host = await scene.hubHost(server);
    server.child.kill(signal);
    await host.logged(/Close message received from server/);
    await host.reconnecting; // the client only does so where the Close message allows it
    assert.deepEqual(await server.finished(), { code: 0, signal: null });
    await host.stop();
    await assert.rejects(fetch(server.origin));
    assert.doesNotMatch(server.stderr, /level=(WARN|ERROR)/);
  });
}

scenario('readyz says 503 while it drains', async (scene) => {
  const server = await scene.serve({ args: ['--drain-timeout', '5s'] });
  // A request whose body is still on its way holds the drain.
  const { port, hostname } = new URL(server.origin);
  const busy = connect(Number(port), hostname).setEncoding('utf8');
  scene.onClose(() => busy.destroy());
  let answer = '';
  busy.on('data', (text) => {
    answer += text;
  });
  const answered = async (text) => {
    while (!answer.includes(text)) await once(busy, 'data');
  };
  busy.write('POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n');
  await answered('100 Continue');
  server.child.kill('SIGTERM');
  await server.output('word of the drain', () => /draining/.test(server.stderr));
  const probe = await fetch(`${server.origin}/readyz`);
  assert.equal(probe.status, 503);
  busy.write('{}');
  await answered(' 201 ');
  assert.deepEqual(await server.finished(), { code: 0, signal: null });
});

scenario('a signal right after the start is no crash', async (scene) => {
  const run = new Run(['serve', ...everywhere, '--data-dir', join(await scene.directory(), 'data')]);
  scene.onClose(() => run.exit || run.stop('SIGKILL'));
  await run.output('first line', () => run.stdout.includes('\n'));
  run.child.kill('SIGTERM');
  assert.deepEqual(await run.finished(), { code: 0, signal: null });
});

scenario('wrong requests get a clear answer', async (scene) => {
  const { origin } = await scene.serve();
  const { json: host } = await post(origin, '/api/sessions');
  const refused = async (path, body, grant) => {
    const { status, json } = await post(origin, path, body, grant);
    assert.match(json.message, /^\S.*\.$/, `${path}: a sentence`);
    return [status, json.code];
  };
  assert.deepEqual(await refused('/api/sessions', '{'), [400, 'bad_request']);
  assert.deepEqual(await refused('/api/sessions', '[]'), [400, 'bad_request']);
  assert.deepEqual(await refused('/api/sessions/join', JSON.stringify({ invite: 'A'.repeat(20_000) })), [413, 'too_large']);
  assert.deepEqual(await refused('/api/sessions/join', { invite: 'A'.repeat(50) }), [404, 'unknown_link']);
  assert.deepEqual(await refused('/api/sessions/join', { invite: `${host.invite.slice(0, -1)}${host.invite.endsWith('A') ? 'E' : 'A'}` }), [404, 'unknown_link']);
  assert.deepEqual(await refused('/api/ice', {}), [401, 'bad_grant']);
  assert.deepEqual(await refused('/api/ice', {}, host.invite), [401, 'bad_grant']);
  assert.deepEqual(await refused('/api/negotiate', {}, `${host.grant}x`), [401, 'bad_grant']);
  assert.equal((await fetch(`${origin}/../../etc/passwd`)).status, 404);
});

scenario('wrong messages are refused by name, and the connection stays', async (scene) => {
  const server = await scene.serve();
  const host = await scene.hubHost(server);
  const guest = await scene.hubGuest(server, host.invite);
  const data = { type: 'here' };
  const bad = /^(?:.*HubException: )?bad_message: \S.*\.$/;
  for (const [method, argument] of [
    ['hello', {}], ['hello', { n: 0 }], ['hello', { n: 'x' }], ['hello', null], ['hello', 'x'],
    ['signal', { to: host.peer, n: 1 }], ['signal', { to: host.peer, data }], ['signal', { n: 1, data }],
    ['signal', { to: 'nobody', n: 1, data }], ['signal', { to: host.peer, n: 1, data: 'x' }], ['signal', { to: host.peer, n: 1, data: { type: 'other' } }],
    ['shout', {}],
  ]) assert.match(await guest.refusal(method, argument), bad, `${method} ${JSON.stringify(argument)}`);
  assert.match(await guest.refusal('hello'), bad);
  assert.match(await guest.refusal('hello', { n: 1 }, { n: 2 }), bad);
  const large = { to: host.peer, n: 1, data: { ...data, more: 'x'.repeat(64 << 10) } };
  assert.match(await guest.refusal('signal', large), /^(?:.*HubException: )?too_large: \S.*\.$/);

  await guest.hub.invoke('hello', { n: 7 });
  assert.deepEqual(await host.event('hello'), { from: guest.peer, role: 'guest', n: 7 });
  await guest.hub.invoke('signal', { to: host.peer, n: 1, data });
  assert.deepEqual(await host.event('signal'), { from: guest.peer, role: 'guest', n: 1, data });
  // A peer of another session is no peer, whatever its name.
  const stranger = await scene.hubHost(server);
  await stranger.hub.invoke('signal', { to: host.peer, n: 9, data });
  await guest.hub.invoke('signal', { to: host.peer, n: 2, data });
  await host.event('signal', (e) => e.n === 2);
  assert.deepEqual(host.events.filter((e) => e.event.n === 9), []);
  await guest.hub.invoke('bye', {}).catch(() => {}); // the answer and the close race
  assert.deepEqual(await host.event('left'), { from: guest.peer, role: 'guest' });
});

scenario('a message beyond all limits closes the connection with a reason', async (scene) => {
  const host = await scene.hubHost(await scene.serve());
  await host.hub.invoke('hello', { n: 1, pad: 'x'.repeat(4 << 20) }).then(() => assert.fail('was accepted'), () => {});
  const error = await Promise.race([host.closed, host.reconnecting]);
  assert.match(String(error?.message), /large|big|size|1009/i);
});

scenario('the log, at its most talkative, tells nothing about anybody', async (scene) => {
  const server = await scene.serve();
  const host = await scene.hubHost(server);
  const guest = await scene.hubGuest(server, host.invite);
  await guest.hub.invoke('relay', { to: host.peer, link: 1, bytes: 5 });
  const relays = await Promise.all([host.event('relay'), guest.event('relay')]);
  const description = { type: 'offer', sdp: 'v=0\r\no=- 1 2 IN IP4 192.0.2.77\r\na=ice-pwd:swordfish\r\na=candidate:1 1 udp 1 192.0.2.77 9 typ host\r\n' };
  await guest.hub.invoke('hello', { n: 1 });
  await guest.hub.invoke('signal', { to: host.peer, n: 1, data: { type: 'description', link: 1, description } });
  await host.event('signal');
  await Promise.all([host.stop(), guest.stop()]);
  await server.stop();
  const credentials = relays.flatMap(({ iceServers }) => iceServers).flatMap((s) => [s.username, s.credential]).filter(Boolean);
  assert.equal(new Set(credentials).size, 4, 'each has credentials of its own');
  const never = ['192.0.2.77', 'swordfish', host.session, host.peer, guest.peer, host.grant, guest.grant, host.invite, ...credentials, '127.0.0.1', '[::1]'];
  for (const text of never) assert.ok(!server.stderr.includes(text), `${text} is in the log:\n${server.stderr}`);
});

test('starting and idling cost little', async (t) => {
  const run = new Run(['bench', 'start', '--runs', '3', '--idle', '1s']);
  t.after(async () => run.exit || (await run.stop('SIGKILL')));
  assert.deepEqual(await run.finished(180_000), { code: 0, signal: null });
  const result = JSON.parse(run.stdout);
  t.diagnostic(`listening after ${result.listening_median_ms} ms, ${result.idle_rss_median_mib} MiB idle`);
  assert.ok(result.listening_median_ms > 0); // how long is for make bench; a loaded machine is no failure
  assert.ok(result.idle_rss_median_mib < 60);
});

