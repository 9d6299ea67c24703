/** How Debian's Chromium is started by each test that wants one. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const { chromiumSwitches } = require(join(dirname(require.resolve('playwright-core/package.json')), 'lib/server/chromium/chromiumSwitches.js'));

// Each window loads two pages for the suggestions below its address bar, which nobody sees here: with them a context costs
// 2.1 s of CPU, without 0.5. Of several such switches Chromium takes the last, so the driver's own come again.
const disabled = chromiumSwitches().find((s) => s.startsWith('--disable-features='));

export const executablePath = process.env.CAUSEWAY_CHROMIUM ?? '/usr/bin/chromium';

export const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', `${disabled},WebUIOmniboxPopup,WebUIOmniboxAimPopup`,
];
