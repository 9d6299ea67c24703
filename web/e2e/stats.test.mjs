// What is counted of a transfer between two browsers, and the page that shows it.
import assert from 'node:assert/strict';
import { axe } from './lib/axe.mjs';
import { until } from './lib/conditions.mjs';
import { counted, metric, reports } from './lib/metrics.mjs';
import { scenario } from './lib/scenario.mjs';

scenario('pages report once what became of their session', async (scene) => {
  const server = await scene.serve();
  const file = await scene.file('one.bin', 300_000);
  const [sender, receiver] = await scene.pair(server, [file], { query: 'sink=download' });
  await counted(server, 'causeway_stats_reports_total{outcome="host"}', 1);
  await receiver.accept();
  await Promise.all([sender.shown('done', 240_000), receiver.shown('done', 240_000)]);
  await counted(server, 'causeway_stats_reports_total{outcome="worked"}', 1);

  // Somebody who only looks reports when the page goes, if it was there long enough to know its path.
  const looking = await scene.page('looking');
  await until('a page that went has reported', async () => {
    await looking.visit(sender.link, 'sink=download');
    await looking.shown('accept');
    await looking.page.goto(`${server.origin}/stats`);
    return (await metric(server, 'causeway_stats_transfers_offered_total')) > 1;
  });
  for (const [name, want] of [
    ['sessions_total', 1],
    ['paths_total{path="relay"}', 0],
    ['transfers_size_total{up_to="1mb"}', 1],
    ['reports_total{outcome="host"}', 1],
    ['reports_total{outcome="no_path"}', 0],
  ]) {
    assert.equal(await metric(server, `causeway_stats_${name}`), want, name);
  }
  assert.equal(await metric(server, 'causeway_stats_transfers_done_total'), 1);
  assert.deepEqual([sender, receiver].map((peer) => reports(peer).length), [1, 1], 'each page reports once');
});

/** As many sessions, each of which reports. */
async function sessions(server, count) {
  const post = (path, body, grant) =>
    fetch(server.origin + path, { method: 'POST', headers: { 'Content-Type': 'application/json', ...(grant && { Authorization: `Bearer ${grant}` }) }, body: JSON.stringify(body) });
  for (let i = 0; i < count; i++) {
    const { grant } = await (await post('/api/sessions', {})).json();
    const report = { outcome: 'worked', path: i % 5 ? 'direct' : 'relay', seconds: ['1', '2', '5'][i % 3], transfer: 'done', size: 20 + (i % 8) };
    assert.equal((await post('/api/report', report, grant)).status, 204);
  }
}

scenario('the page shows what was counted, to everybody', async (scene) => {
  const server = await scene.serve({ args: ['--work', 'off'] });
  const { page } = await scene.page('visitor', { viewport: { width: 390, height: 844 } });
  await page.goto(`${server.origin}/stats`);
  await page.getByTestId('empty').waitFor();
  await axe(page);
  await sessions(server, 25);
  await page.getByTestId('figures').waitFor({ timeout: 120_000 }); // by itself: it is live
  // A write may have come between two sessions.
  const publishes = async () => (await fetch(`${server.origin}/api/stats`)).json();
  const published = await until('all are published', async () => {
    const now = await publishes();
    return now.total.sessions === 30 && now.total.worked !== undefined && now;
  }, { every: 500 });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.goto(`${server.origin}/stats`);
    await page.getByTestId('figures').waitFor();
    assert.equal(await page.getByRole('img').count(), 6);
    for (const summary of await page.getByText('As a table').all()) await summary.click();
    await axe(page);
  }
  assert.deepEqual([published.total.done, published.total.worked], [30, 100]);
  // The tables have what the server publishes.
  const row = (table, name) => page.getByRole('region', { name: `${table}, as a table` }).getByRole('row', { name });
  for (const [hour, n] of published.byHour.entries()) {
    const name = `${String(hour).padStart(2, '0')}:00`;
    assert.equal(await row('Hours of the day', new RegExp(`^${name}`)).innerText(), `${name}\t${n}`);
  }
  assert.equal(await row('Seconds to connect', /^up to 1 s/).innerText(), `up to 1 s\t${published.total.seconds['1']}`);
  await page.getByRole('button', { name: '48 hours' }).click();
  await page.getByRole('columnheader', { name: 'Hour (UTC)' }).first().waitFor();
  const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= shown, 'a phone has to scroll sideways');
});

scenario('a server without statistics says so', async (scene) => {
  const server = await scene.serve({ args: ['--stats', 'off'] });
  scene.allow(/404/);
  const { page } = await scene.page('visitor');
  await page.goto(`${server.origin}/stats`);
  await page.getByText('This server keeps no statistics.').waitFor();
  await axe(page);
});
