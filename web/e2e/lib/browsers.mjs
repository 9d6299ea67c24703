/** Browsers of the distribution, each started with a profile of its own. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';
import * as ours from './chromium.mjs';
import { childWith } from './processes.mjs';

/** What Firefox would otherwise fetch in the background, where there is no network to fetch from. */
const firefoxPrefs = {
  'app.normandy.enabled': false,
  'app.update.auto': false,
  'browser.safebrowsing.update.enabled': false,
  'browser.search.update': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'messaging-system.rsexperimentloader.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'toolkit.telemetry.enabled': false,
};

let started = 0;

/** A running browser; `pid` is the root of its processes, `downloads` the folder of its downloads. */
export class Browser {
  constructor(kind, pid, downloads, browser, context) {
    Object.assign(this, { kind, pid, downloads, browser, context });
  }

  close() {
    return (this.browser ?? this.context).close();
  }

  /**
   * Ends the observation of network traffic, before memory is measured. While it is observed by WebDriver BiDi, Firefox keeps
   * each response in the parent process: a download of 200 MB costs 200 MB, none of which people's own Firefox needs.
   */
  async unobserved() {
    if (this.kind !== 'firefox') return;
    const { _browserSession: session } = this.browser._connection.toImpl(this.browser);
    await session.send('session.unsubscribe', { events: ['network'] });
  }

  /** A context with nothing of the others' in it. In Chromium it is an incognito one: its storage is in memory. */
  async newContext(options = {}) {
    return this.browser.newContext({ acceptDownloads: true, ...options });
  }
}

/** A program that runs another one in a network namespace. */
async function inNamespace(namespace, program, dir) {
  const wrapper = join(dir, 'in-namespace');
  await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${namespace} ${program} "$@"\n`, { mode: 0o755 });
  return wrapper;
}

/**
 * Starts a browser. `profile`: a Chromium with a profile on disk, in `context`, as people have it; without it storage
 * that should be on disk is in memory. `namespace`: a Chromium with the network of that namespace.
 */
export async function launch(kind, dir, { profile = false, args = [], namespace } = {}) {
  const own = await mkdtemp(join(dir, `${kind}-`));
  const marker = `CAUSEWAY_E2E_BROWSER=${process.pid}.${++started}`;
  const [name, value] = marker.split('=');
  const common = { headless: true, downloadsPath: own, env: { ...process.env, TMPDIR: own, [name]: value } };
  if (kind === 'firefox') {
    const options = { ...common, channel: 'moz-firefox', executablePath: process.env.CAUSEWAY_FIREFOX ?? '/usr/bin/firefox-esr' };
    const browser = await firefox.launch({ ...options, firefoxUserPrefs: firefoxPrefs });
    return new Browser(kind, childWith(marker), own, browser);
  }
  const executablePath = namespace ? await inNamespace(namespace, ours.executablePath, own) : ours.executablePath;
  const options = { ...common, executablePath, args: [...ours.args, ...args] };
  if (profile) {
    const context = await chromium.launchPersistentContext(join(own, 'profile'), { ...options, acceptDownloads: true });
    return new Browser(kind, childWith(marker), own, undefined, context);
  }
  const browser = await chromium.launch(options);
  return new Browser(kind, childWith(marker), own, browser);
}
