// The operator's page, and the page of the example chat.
import assert from 'node:assert/strict';
import { axe } from './lib/axe.mjs';
import { until } from './lib/conditions.mjs';
import { counted } from './lib/metrics.mjs';
import { scenario } from './lib/scenario.mjs';

const token = 'a token for the tests of this page';
const serve = (scene) => scene.serve({ args: ['--demo', '--admin-token', 'env:TEST_ADMIN'], env: { TEST_ADMIN: token } });

async function look(page) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await axe(page);
  }
}

scenario('an operator sees sessions and budgets, ends a session, and blocks addresses', async (scene) => {
  const server = await serve(scene);
  scene.allow(/status of 401|status of 400/);
  const file = await scene.file('one.bin', 100_000);
  const [sender, receiver] = await scene.pair(server, [file]);
  const { page } = await scene.page('operator', { viewport: { width: 390, height: 844 } });
  await page.goto(`${server.origin}/admin`);
  await page.getByLabel('Token').fill('not the token of this server');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByText('This is not the operator’s token.').or(page.getByText("This is not the operator's token.")).waitFor();
  await look(page);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('region', { name: 'Sessions', exact: true }).waitFor();
  await page.getByText('0 bytes relayed and 0 bytes leased of 100 GiB').waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, 'the page does not scroll sideways');
  await look(page);

  await page.getByLabel('Address or prefix').fill('nonsense');
  await page.getByRole('button', { name: 'Block', exact: true }).click();
  await page.getByText('This is not an address or a prefix').waitFor();
  await page.getByLabel('Address or prefix').fill('203.0.113.0/24');
  await page.getByRole('button', { name: 'Block', exact: true }).click();
  await page.getByRole('cell', { name: '203.0.113.0/24', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Unblock 203.0.113.0/24' }).click();
  await page.getByText('Nothing is blocked.').waitFor();

  // What is ended is over: nobody comes in again.
  await page.getByRole('button', { name: /^End session/ }).click();
  await page.getByRole('button', { name: 'End for all' }).click();
  await page.getByText('Nobody is in a session.').waitFor();
  await until('neither has a connection any more', async () => {
    const text = await (await fetch(`${server.origin}/metrics`)).text();
    return /causeway_hub_connections\{service="signaling"\} 0/.test(text);
  });
  await sender.says(/Whoever runs this server has ended this session/);
  await counted(server, 'causeway_stats_refusals_total{reason="removed"}', 2); // each once: they don't try again
  assert.equal(await receiver.id('error').count(), 0, 'what is connected directly goes on');
});

scenario('the example chat shows everything as text', async (scene) => {
  const server = await serve(scene);
  const open = async (name) => {
    const { page } = await scene.page(name, { viewport: { width: 390, height: 844 } });
    await page.goto(`${server.origin}/demo`);
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByLabel('Message', { exact: true }).waitFor();
    return page;
  };
  const ann = await open('<img src=x onerror=alert(1)>');
  const bob = await open('Bob');
  await ann.getByLabel('Message', { exact: true }).fill('<script>alert(2)</script><b>hello</b>');
  await ann.getByRole('button', { name: 'Send' }).click();
  for (const page of [ann, bob]) {
    await page.getByText('<script>alert(2)</script><b>hello</b>').waitFor();
    assert.equal(await page.locator('[role=log] img, [role=log] b, [role=log] script').count(), 0);
    await page.getByText('1 messages ever, 1 today.').or(page.getByText('1 message ever, 1 today.')).waitFor();
  }
  await bob.getByRole('button', { name: 'Get ICE servers' }).click();
  await bob.getByText('(with a credential)').first().waitFor();
  await look(bob);
});
