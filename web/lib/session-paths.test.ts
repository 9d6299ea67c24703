// What becomes of a session whose path is lost, or needs a relay.
import { expect, test } from 'vitest';
import { helloEveryMs } from './guest';
import { parseServers } from './lazy-relay';
import { connectTimeoutMs, interruptedTimeoutMs } from './link';
import { TestSink, content, sourceFile } from './testing/wire';
import { failed, guest, host, network, pass, server } from './testing/meeting';

test('where no path is found, it is tried again', async () => {
  network.blocked = true;
  const h = host();
  const g = guest();
  await pass(connectTimeoutMs + 100);
  expect(g.setback).toBe('unreachable');
  network.blocked = false;
  await pass(helloEveryMs * 3);
  expect(g.stage).toBe('linked');
  expect(h.guests.get('guest')!.links).toBeGreaterThan(1);
});

test('a link lost before the transfer is made again without a word; its sink is aborted', async () => {
  const big = sourceFile('a', content(100));
  const h = host([{ ...big, read: () => new Promise(() => {}) }]);
  const first = guest('first');
  await pass();
  first.accept(new TestSink());
  await pass(20);
  const g = guest('second');
  await pass();
  const sink = new TestSink();
  g.accept(sink);
  await pass(50);
  expect(g.receiving?.phase).toBe('queued');
  network.connections[3]!.close();
  await pass(3000);
  expect(sink.aborted).toBe(1);
  expect(g.receiving?.phase).toBe('offered');
  expect(h.guests.get('second')!.links).toBe(2);
  expect(h.guests.get('first')!.phase).toBe('running');
});

test('a network that goes quiet is restarted by the host, and given up after its time', async () => {
  const h = host();
  const g = guest();
  await pass();
  const [a, b] = network.connections;
  a!.become('disconnected');
  b!.become('disconnected');
  await pass(4000);
  expect([a!.restarts, b!.restarts]).toEqual([1, 0]);
  await pass(1000);
  expect([a!.restarts, b!.restarts]).toEqual([2, 0]); // with a relay
  expect(h.guests.get('guest')!.link!.interrupted).toBe(true);
  a!.become('connected');
  b!.become('connected');
  await pass(interruptedTimeoutMs);
  expect(h.guests.get('guest')!.linkPhase).toBe('ready');
  expect(g.link!.interrupted).toBe(false);
  a!.become('disconnected');
  await pass(interruptedTimeoutMs + 100);
  expect(h.guests.get('guest')!.links).toBe(2); // the guest came again
});

test('what the restart says may be lost: the offer is made known again, and then ICE restarts at growing distances', async () => {
  host();
  const g = guest();
  await pass();
  const [a, b] = network.connections;
  const offers = (): number => server.log.filter((line) => line === 'host description').length;
  const before = offers();
  server.change = () => undefined; // signaling is dead, and says nothing of it
  a!.become('disconnected');
  b!.become('disconnected');
  await pass(3100);
  expect([a!.restarts, a!.signalingState, offers() - before]).toEqual([1, 'have-local-offer', 1]);
  expect(server.log.filter((line) => line.endsWith(' check')).sort()).toEqual(['guest check', 'host check']);
  await pass(10_000);
  expect([a!.signalingState, offers() - before]).toEqual(['have-local-offer', 3]);
  server.change = (_, data) => data;
  await pass(5000);
  expect([a!.signalingState, b!.signalingState, offers() - before]).toEqual(['stable', 'stable', 5]); // and one with the relay that came meanwhile
  const answered = a!.restarts;
  await pass(5000);
  expect(a!.restarts).toBe(answered + 1); // answered, and no path: another
  await pass(5000);
  expect(a!.restarts).toBe(answered + 1); // which has twice the time
  await pass(5000);
  expect(a!.restarts).toBe(answered + 2);
  expect(g.link!.phase).toBe('ready');
});

test('a path that only one side has is not the end of it: the unanswered offer is made known still, and at once when signaling is back', async () => {
  const h = host();
  guest();
  await pass();
  const [a, b] = network.connections;
  server.change = () => undefined;
  a!.become('disconnected');
  b!.become('disconnected');
  await pass(3500);
  a!.become('connected'); // by an old pair, or a part of a new one
  const offers = (): number => server.log.filter((line) => line === 'host description').length;
  const before = offers();
  await pass(5100);
  expect([h.guests.get('guest')!.link!.interrupted, a!.signalingState, offers()]).toEqual([false, 'have-local-offer', before + 1]);
  server.change = (_, data) => data;
  h.connected();
  await pass(200);
  expect([a!.signalingState, offers()]).toEqual(['stable', before + 2]);
  b!.become('connected');
  const { restarts } = a!;
  await pass(30_000);
  expect([a!.restarts, offers()]).toEqual([restarts, before + 2]);
});

test('a guest whose host knows of no interruption restarts ICE itself', async () => {
  host();
  const g = guest();
  await pass();
  const [a, b] = network.connections;
  b!.become('disconnected');
  await pass(7900);
  expect([a!.restarts, b!.restarts]).toEqual([0, 1]); // with the relay
  await pass(5300);
  expect(b!.restarts).toBe(2);
  expect(b!.signalingState).toBe('stable'); // the host has answered
  b!.become('connected');
  await pass(60_000);
  expect([g.link!.phase, g.link!.interrupted, b!.restarts]).toEqual(['ready', false, 2]);
});

test.each(['restored', 'closed'])('nothing is restarted or asked any more once the link is %s', async (how) => {
  const h = host();
  guest();
  await pass();
  for (const one of network.connections) one.become('disconnected');
  await pass(2000);
  const [a] = network.connections;
  if (how === 'restored') for (const one of network.connections) one.become('connected');
  else h.guests.get('guest')!.link!.close();
  await pass(30_000);
  expect(a!.restarts).toBe(0);
  expect(server.log.filter((line) => /host (check|relay)/.test(line))).toEqual([]);
  expect(a!.closed).toBe(how === 'closed');
});

test('a pair that finds a direct path asks for no relay', async () => {
  host();
  guest();
  await pass(60_000);
  expect(server.log).not.toContain('host relay');
  expect(server.log).not.toContain('guest relay');
  expect(network.connections.map((c) => c.restarts)).toEqual([0, 0]);
});

test('a pair without a direct path is given a relay 1.5 s after both descriptions, and the host restarts ICE', async () => {
  network.blocked = true;
  host();
  const g = guest();
  await pass(1400);
  expect(server.log).not.toContain('host relay');
  await pass(150);
  expect(server.log).toContain('host relay');
  const [a, b] = network.connections;
  expect([a!.restarts, b!.restarts]).toEqual([1, 0]);
  for (const one of [a, b]) expect(one!.configuration.iceServers).toEqual([{ urls: 'stun:here' }, ...server.relayed]);
  network.blocked = false;
  a!.restartIce();
  await pass();
  expect(g.stage).toBe('linked');
  const said = server.log.length;
  await pass(60_000);
  expect(server.log.length).toBe(said);
});

test('a relay that is given twice, or late, restarts nothing', async () => {
  const h = host();
  const g = guest();
  await pass();
  h.relay('guest', 1, server.relayed);
  g.relay('host', 1, server.relayed);
  h.relay('guest', 7, server.relayed);
  h.relay('nobody', 1, server.relayed);
  await pass(5000);
  expect(network.connections.map((c) => c.restarts)).toEqual([0, 0]);
  expect(network.connections.map((c) => c.configuration.iceServers?.length)).toEqual([2, 2]);
});

test('a relay that comes before the offer is used for it; a guest whose host does not restart does it itself', async () => {
  network.blocked = true;
  const h = host();
  const g = guest();
  g.relay('host', 1, server.relayed);
  await pass(1600);
  expect(network.connections[1]!.configuration.iceServers?.length).toBe(2);
  server.relayed = [{ urls: ['turn:there'], username: 'v', credential: 'c' }];
  g.relay('host', 1, server.relayed);
  await pass(1100);
  expect(network.connections[1]!.restarts).toBe(1);
  h.close();
});

test('where only a relay is allowed, it is asked for at once', async () => {
  network.relayOnly = true;
  host();
  guest();
  await pass(20);
  expect(server.log).toContain('host relay');
});

test.each([undefined, {}, [{}], [{ urls: 'stun:x' }], [{ urls: ['http://x'] }], [{ urls: ['turn:x'], username: 'u' }], Array(17).fill({ urls: ['stun:x'] })])(
  'ICE servers that are none: %j',
  (value) => expect(parseServers(value)).toBeUndefined(),
);

test('ICE that fails before a relay came is not the end, and no failed check', async () => {
  network.blocked = true;
  const h = host();
  const g = guest();
  await pass(100);
  const [a, b] = network.connections;
  for (const one of [a!, b!]) {
    one.iceConnectionState = 'disconnected'; // as Chromium calls it when all pairs were refused
    one.become('failed');
  }
  await pass(20);
  expect(server.log).toContain('host relay'); // at once, and not after 1.5 s
  expect([g.stage, h.guests.get('guest')!.linkPhase, a!.restarts]).toEqual(['connecting', 'connecting', 1]);
  h.close();
});

test('a certificate that is not the one of the description ends the link, though ICE has a path', async () => {
  network.blocked = true;
  const h = host();
  const g = guest();
  await pass(100);
  network.connections[0]!.iceConnectionState = 'connected';
  network.connections[0]!.become('failed');
  await pass(20);
  expect(h.guests.get('guest')!.linkEnd).toBe('unverified');
  expect(g.stage).toBe('unverified');
});

/** Both have credentials for a relay; `before` is how often their ICE was restarted. */
async function onRelay() {
  const h = host();
  const g = guest();
  await pass();
  h.relay('guest', 1, server.relayed);
  g.relay('host', 1, server.relayed);
  const [a, b] = network.connections;
  return { h, g, a, b, before: [a!.restarts, b!.restarts] };
}

test('when a relay goes away, the host restarts ICE with the other one, though there is a path', async () => {
  const { h, g, a, b, before } = await onRelay();
  const relayAt = (place: string) => [{ urls: [`stun:${place}`] }, { urls: [`turn:${place}`], username: 'v', credential: 'd' }];
  const next = relayAt('there');
  h.restart('guest', next);
  g.restart('host', next);
  h.restart('nobody', next);
  await pass(900);
  expect([a!.restarts - before[0]!, b!.restarts - before[1]!]).toEqual([1, 0]);
  for (const one of [a, b]) expect(one!.configuration.iceServers).toEqual([{ urls: 'stun:here' }, ...next]);
  await pass(2000); // the host's offer has come
  expect([a!.restarts - before[0]!, b!.restarts - before[1]!]).toEqual([1, 0]);
  h.restart('guest', next); // again: there is nothing new
  await pass(2000);
  expect(a!.restarts - before[0]!).toBe(1);
  h.restart('guest', relayAt('elsewhere'));
  await pass(10);
  expect(a!.configuration.iceServers).toEqual([{ urls: 'stun:here' }, ...relayAt('elsewhere')]); // nothing of those before
});

test('a guest whose host hears nothing of it restarts ICE itself; a direct path stays', async () => {
  const { h, g, a, b, before } = await onRelay();
  g.restart('host', [{ urls: ['turn:there'], username: 'v', credential: 'd' }]);
  await pass(1500);
  expect([a!.restarts - before[0]!, b!.restarts - before[1]!]).toEqual([0, 1]);
  const direct = new Map<string, unknown>([
    ['t', { type: 'transport', selectedCandidatePairId: 'p' }],
    ['p', { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r' }],
    ['l', { candidateType: 'host' }],
    ['r', { candidateType: 'srflx' }],
  ]);
  a!.getStats = async () => direct;
  const restarts = a!.restarts;
  h.restart('guest', [{ urls: ['turn:elsewhere'], username: 'w', credential: 'e' }]);
  await pass(2000);
  expect(a!.restarts).toBe(restarts);
  expect(a!.configuration.iceServers).toContainEqual({ urls: ['turn:elsewhere'], username: 'w', credential: 'e' });
});
