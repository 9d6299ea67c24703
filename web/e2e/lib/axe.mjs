/** axe-core, in a page: what it says is wrong with the page as it stands. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Fails with axe's words if a page (of Playwright) has a violation. `options` are those of axe.run. */
export async function axe(page, options = {}) {
  // Evaluated and not added as a script, which the page's content security policy refuses.
  await page.evaluate(source);
  const { violations, passes } = await page.evaluate((o) => window.axe.run(document, o), options);
  const said = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `    ${node.html}\n    ${node.failureSummary}`).join('\n')}`);
  assert.equal(said.join('\n'), '', `axe-core on ${page.url()}`);
  assert.ok(passes.length > 0, 'axe-core looked at nothing');
}
