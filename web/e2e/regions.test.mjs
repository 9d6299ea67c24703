// Pages from a static site, the API and the realtime service elsewhere, as on Azure. With one region; and with two, of which
// one is killed in the middle of a session: those who are in it meet again in the other and go on, and whoever comes later by the same
// link finds them there.
import assert from 'node:assert/strict';
import { until } from './lib/conditions.mjs';
import { Region, StaticSite } from './lib/regions.mjs';
import { scenario } from './lib/scenario.mjs';

/** The hosts of `region` that the page has connected to by WebSocket. */
const sockets = (peer, region) => peer.requests.filter(({ method, url }) => method === 'WEBSOCKET' && region.hosts.includes(new URL(url).host)).length;

scenario('one region is killed in the middle of a session', async (scene) => {
  const site = await StaticSite.open();
  scene.onClose(() => site.close());
  const regions = await Region.startAll(await scene.directory(), 'two-region', site, ['CAUSEWAY_STUN_SERVER=stun:127.0.0.1:9']);
  scene.servers.push(...regions);
  scene.origins = regions.flatMap(({ hosts }) => hosts);
  scene.allow(/ERR_CONNECTION_REFUSED/, /WebSocket connection to/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /ERR_INCOMPLETE_CHUNKED/);
  const file = await scene.file('letter.txt', 300_000);

  const [sender, receiver] = await scene.pair(site, [file], { query: 'sink=download' });
  await receiver.shown('accept');
  const made = sender.answers.find(({ pathname }) => pathname === '/api/sessions').json;
  assert.deepEqual(made.regions.map(({ name }) => name).sort(), ['eu', 'us']);
  const [home, other] = made.regions.map(({ name }) => regions.find((region) => region.name === name));
  assert.ok(sender.link.startsWith(`${site.origin}/#`), 'the link begins with the static site');
  for (const peer of [sender, receiver]) assert.deepEqual([sockets(peer, home) > 0, sockets(peer, other)], [true, 0], `${peer.name} is in the home`);

  await home.die();
  await receiver.accept(); // over the link that they have, which no region is part of
  assert.equal((await receiver.downloaded()).sha256, file.sha256);
  for (const peer of [sender, receiver]) await until(`${peer.name} moves on`, () => sockets(peer, other) > 0);

  // The old link, opened for the first time when its home is gone.
  const newcomer = await scene.guest(sender.link, { name: 'newcomer', query: 'sink=download' });
  await newcomer.accept();
  assert.equal((await newcomer.downloaded()).sha256, file.sha256);
  assert.equal(sockets(newcomer, home), 0);

  // Who has moved can meet again there: the receiver's page, loaded anew, is a new guest.
  await receiver.page.reload();
  await receiver.shown('accept');
  await Promise.all([sender, receiver, newcomer].map((peer) => until(`${peer.name} stays`, () => sockets(peer, other) > 0)));
});

scenario('pages of a static site use the one region that there is', async (scene) => {
  const site = await StaticSite.open();
  scene.onClose(() => site.close());
  const stats = `sqlite:${await scene.directory()}/stats.db`;
  const [region, ...others] = await Region.startAll(await scene.directory(), 'single-region', site, ['CAUSEWAY_STUN_SERVER=stun:127.0.0.1:9', `CAUSEWAY_STATS=${stats}`]);
  assert.equal(others.length, 0);
  scene.servers.push(region);
  scene.origins = region.hosts;
  const file = await scene.file('letter.txt', 300_000);

  const [sender, receiver] = await scene.pair(site, [file], { query: 'sink=download' });
  await receiver.accept();
  assert.equal((await receiver.downloaded()).sha256, file.sha256);
  const made = sender.answers.find(({ pathname }) => pathname === '/api/sessions').json;
  assert.equal(made.regions, undefined);
  assert.ok(sender.link.startsWith(`${site.origin}/#`), 'the link begins with the static site');
  for (const peer of [sender, receiver]) {
    const asked = peer.requests.filter(({ url }) => new URL(url).pathname.startsWith('/api/')).map(({ url }) => new URL(url).host);
    assert.deepEqual([...new Set(asked)], [region.hosts[0]], `${peer.name} asks the function app`);
    assert.ok(sockets(peer, region) > 0, `${peer.name} is at the realtime service`);
  }

  // The statistics are the region's, too.
  const visitor = await scene.page('visitor');
  await visitor.page.goto(`${site.origin}/stats`);
  await visitor.shown('figures');
  assert.equal(await visitor.page.locator('a[href$="/api/stats"]').getAttribute('href'), `http://${region.hosts[0]}/api/stats`);
});
