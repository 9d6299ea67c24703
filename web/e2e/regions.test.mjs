// Two regions, each the whole serverless shape: one is killed in the middle of a session. Those who are in it meet again in the
// other and go on; whoever comes later by the same link finds them there.
import assert from 'node:assert/strict';
import { until } from './lib/conditions.mjs';
import { Region, StaticSite } from './lib/regions.mjs';
import { scenario } from './lib/scenario.mjs';

/** The hosts of `region` that the page has connected to by WebSocket. */
const sockets = (peer, region) => peer.requests.filter(({ method, url }) => method === 'WEBSOCKET' && region.hosts.includes(new URL(url).host)).length;

scenario('one region is killed in the middle of a session', async (scene) => {
  const site = await StaticSite.open();
  scene.onClose(() => site.close());
  const regions = await Region.startAll(await scene.directory(), ['eu', 'na'], site, ['CAUSEWAY_STUN_SERVER=stun:127.0.0.1:9']);
  scene.servers.push(...regions);
  scene.origins = regions.flatMap(({ hosts }) => hosts);
  scene.allow(/ERR_CONNECTION_REFUSED/, /WebSocket connection to/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /ERR_INCOMPLETE_CHUNKED/);
  const file = await scene.file('letter.txt', 300_000);

  const [sender, receiver] = await scene.pair(site, [file], { query: 'sink=download' });
  await receiver.shown('accept');
  const made = sender.answers.find(({ pathname }) => pathname === '/api/sessions').json;
  assert.deepEqual(made.regions.map(({ name }) => name).sort(), ['eu', 'na']);
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
