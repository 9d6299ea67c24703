import { expect, test, vi } from 'vitest';
import { utf8 } from './bytes';
import { answerTimeoutMs, helloEveryMs } from './guest';
import { maxLinks } from './host';
import { bindTimeoutMs } from './link';
import type { SignalData } from './signaling';
import { TestSink } from './testing/wire';
import { guest, host, network, pass, secret, server } from './testing/meeting';

test('they meet, verify, list, transfer; nothing stays open', async () => {
  const h = host();
  const g = guest();
  await pass();
  expect(g.stage).toBe('linked');
  expect(g.receiving?.phase).toBe('offered');
  expect(network.connections.map((c) => c.added.length)).toEqual([1, 1]);
  const sink = new TestSink();
  vi.useRealTimers();
  g.accept(sink);
  await vi.waitFor(() => expect(g.receiving?.phase).toBe('done'), 5000);
  await vi.waitFor(() => expect(h.guests.get('guest')!.phase).toBe('done'));
  expect(sink.files[0]!.bytes.length).toBe(100_000);
  expect(g.stage).toBe('ended');
  await vi.waitFor(() => expect(network.open).toBe(0), 5000);
});

test('without a host the guest says so, goes on saying hello, and is found when the host comes', async () => {
  const g = guest();
  await pass(answerTimeoutMs - 100);
  expect(g.stage).toBe('waiting');
  await pass(200);
  expect(g.stage).toBe('away');
  await pass(3 * helloEveryMs);
  expect(server.log.filter((line) => line === 'guest hello').length).toBe(4);
  host();
  await pass();
  expect(g.stage).toBe('linked');
  const said = server.log.length;
  await pass(60_000);
  expect(server.log.length).toBe(said); // no hello while there is a channel
});

test('another secret is not verified, on either side, and not tried again', async () => {
  const h = host();
  const g = guest('guest', utf8('0123456789abcdeX'));
  await pass(3000);
  expect(g.stage).toBe('unverified');
  expect(h.guests.get('guest')!.linkEnd).toBe('unverified');
  expect(h.guests.get('guest')!.sending).toBeUndefined();
  const said = server.log.length;
  await pass(60_000);
  expect(server.log.length).toBe(said);
  expect(network.open).toBe(0);
});

test('a server that changes a fingerprint is found out', async () => {
  server.change = (_, data) =>
    data.type === 'description' ? { ...data, description: { ...data.description, sdp: data.description.sdp!.replace(':AB', ':CD') } } : data;
  const h = host();
  const g = guest();
  await pass(3000);
  expect(g.stage).toBe('unverified');
  expect(h.guests.get('guest')!.linkEnd).toBe('unverified');
});

test('a MAC that does not come within its time ends the link', async () => {
  const h = host();
  const connect = network.create;
  // A guest that connects, and says nothing.
  server.members.set('mute', {
    role: 'guest',
    hello: () => {},
    left: () => {},
    relay: () => {},
    signal: (_, __, ___, data) => {
      if (data.type !== 'description') return;
      const c = connect();
      c.createDataChannel('c');
      c.createDataChannel('d');
      void c.setRemoteDescription(data.description).then(async () => {
        await c.setLocalDescription();
        server.endpoint('mute', 'guest').send('host', { type: 'description', link: data.link, description: { type: 'answer', sdp: c.localDescription!.sdp } });
      });
    },
  });
  h.hello('mute', 'guest');
  await pass(bindTimeoutMs - 100);
  expect(h.guests.get('mute')!.linkPhase).toBe('verifying');
  await pass(200);
  expect(h.guests.get('mute')!.linkEnd).toBe('unverified');
});

test('a description with other fingerprints than the first ends the link', async () => {
  const h = host();
  const g = guest();
  await pass();
  expect(g.stage).toBe('linked');
  g.signal('host', 'host', 99, { type: 'description', link: 1, description: { type: 'offer', sdp: 'v=0\r\na=fingerprint:sha-256 00:11\r\n' } });
  await pass(3000);
  expect(g.stage).toBe('unverified');
  expect(h.guests.get('guest')!.linkEnd).toBe('unverified');
});

test('cancel arrives by signaling even if the channel is stuck', async () => {
  const h = host([{ name: 'a', size: 100, read: () => new Promise(() => {}) }]);
  const g = guest();
  await pass();
  g.accept(new TestSink());
  await pass(50);
  expect(h.guests.get('guest')!.phase).toBe('running');
  for (const connection of network.connections) connection.channels[0]!.peer = undefined;
  h.cancel(h.guests.get('guest')!);
  await pass(20);
  expect(g.receiving?.ending).toEqual({ by: 'peer', cause: 'user' });
  await pass(3000);
  expect(network.open).toBe(0);
  g.retry();
  await pass();
  expect(g.receiving?.phase).toBe('offered');
});

test.each(['host', 'guest'])('a page that is closed tells the other: %s', async (who) => {
  const h = host([{ name: 'a', size: 100, read: () => new Promise(() => {}) }]);
  const g = guest();
  await pass();
  g.accept(new TestSink());
  await pass(50);
  for (const connection of network.connections) for (const channel of connection.channels) channel.peer = undefined; // no word from the network
  (who === 'host' ? h : g).close();
  await pass(20);
  const { ending } = who === 'host' ? g.receiving! : h.guests.get('guest')!;
  expect(ending).toEqual({ by: 'peer', cause: 'lost' });
  await pass(3000);
  expect(network.open).toBe(0);
});

test('one after another; those beyond the seats are told so; a seat comes back', async () => {
  const h = host([{ name: 'a', size: 100, read: () => new Promise(() => {}) }], 2);
  const guests = [guest('g1'), guest('g2'), guest('g3')];
  await pass();
  for (const one of guests) {
    one.accept(new TestSink());
    await pass(20);
  }
  expect(guests.map((one) => one.receiving?.phase)).toEqual(['running', 'queued', 'full']);
  expect(guests[1]!.receiving!.ahead).toBe(1);
  guests[0]!.cancel();
  await pass(20);
  expect(guests[1]!.receiving?.phase).toBe('running');
  guests[2]!.accept(new TestSink());
  await pass(20);
  expect(guests[2]!.receiving?.phase).toBe('queued');
  expect([...h.guests.values()].map((one) => one.phase)).toEqual(['ended', 'running', 'queued']);
});

test('not more than the bound of links, and no leak across many guests', async () => {
  host();
  const guests = Array.from({ length: maxLinks + 5 }, (_, i) => guest(`g${i}`));
  await pass(3000);
  expect(guests.filter((one) => one.stage === 'linked').length).toBe(maxLinks);
  expect(guests.filter((one) => one.stage === 'busy').length).toBe(5);
  for (const one of guests.slice(0, 10)) one.close();
  await pass(helloEveryMs + 3000);
  expect(guests.slice(10).every((one) => one.stage === 'linked')).toBe(true);
  for (const one of guests) one.close();
  await pass(5000);
  expect(network.open).toBe(0);
});

test('many guests that come and go leave a bounded table', async () => {
  const h = host();
  for (let i = 0; i < 300; i++) {
    const g = guest(`g${i}`);
    await pass(30);
    g.close();
    server.members.delete(`g${i}`);
    h.left(`g${i}`, 'guest');
    await pass(1200);
  }
  expect(h.guests.size).toBeLessThanOrEqual(256);
  expect(network.open).toBe(0);
});

test('signals that come late, twice or before their description do no harm', async () => {
  const held: [string, SignalData][] = [];
  server.change = (from, data) => {
    if (from === 'host' && data.type === 'description') {
      held.push([from, data]);
      return undefined;
    }
    return data;
  };
  host();
  const g = guest();
  await pass(100);
  g.signal('host', 'host', 50, held[0]![1]);
  g.signal('host', 'host', 50, held[0]![1]);
  await pass();
  expect(g.stage).toBe('linked');
  expect(network.connections[1]!.added).toEqual(['candidate:0']);
  g.signal('host', 'host', 49, held[0]![1]);
  await pass();
  expect(g.stage).toBe('linked');
});
