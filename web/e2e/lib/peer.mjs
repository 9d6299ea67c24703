/** One page, as a person uses it, and the record of all that it did. */
import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { deferred, until, within } from './conditions.mjs';
import { sha256Of } from './files.mjs';

/** Puts a query before the fragment of a link. */
export function withQuery(link, query) {
  const url = new URL(link);
  for (const [name, value] of new URLSearchParams(query)) url.searchParams.set(name, value);
  return url.href;
}

/** Runs in every page: what its policy blocks becomes an error of its console. */
function reportViolations() {
  document.addEventListener('securitypolicyviolation', (e) => {
    console.error(`securitypolicyviolation: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
  });
}

export class Peer {
  /** lines of the console, uncaught exceptions, failed requests */
  log = [];
  /** {url, method, headers, body} of each request */
  requests = [];
  /** {direction, text} of each WebSocket message; Chromium only */
  frames = [];
  /** parsed JSON answers of the API, by path */
  answers = [];
  downloads = [];
  #download = deferred();

  constructor(name, kind, page) {
    Object.assign(this, { name, kind, page });
    page.on('console', (m) => this.log.push(`${m.type()}: ${m.text()}`));
    page.on('pageerror', (e) => this.log.push(`exception: ${e.stack ?? e.message}`));
    page.on('requestfailed', (r) => this.log.push(`failed: ${r.method()} ${r.url()} ${r.failure()?.errorText}`));
    page.on('request', (r) => this.requests.push({ url: r.url(), method: r.method(), headers: r.headers(), body: r.postData() ?? '' }));
    page.on('response', (r) => this.#answer(r));
    page.on('websocket', (ws) => {
      this.requests.push({ url: ws.url(), method: 'WEBSOCKET', headers: {}, body: '' });
      ws.on('framesent', ({ payload }) => this.frames.push({ direction: 'sent', text: String(payload) }));
      ws.on('framereceived', ({ payload }) => this.frames.push({ direction: 'received', text: String(payload) }));
    });
    page.on('download', (d) => {
      this.downloads.push(d);
      this.#download.resolve(d);
    });
  }

  static async open(name, kind, context) {
    const page = context.pages()[0] ?? (await context.newPage());
    await page.addInitScript(reportViolations);
    return new Peer(name, kind, page);
  }

  #answer(response) {
    const { pathname } = new URL(response.url());
    if (!pathname.startsWith('/api/')) return;
    // The page may close before the body is there; then nobody needs it.
    response.json().then((json) => this.answers.push({ pathname, status: response.status(), json }), () => {});
  }

  id(testid) {
    return this.page.getByTestId(testid);
  }

  /** Opens the sender's page, picks files, and returns the link, which it keeps. */
  async offer(origin, paths, query = '') {
    await this.page.goto(withQuery(origin, query));
    await this.id('files').setInputFiles(paths);
    this.link = await this.readLink();
    return this.link;
  }

  async readLink() {
    await this.shown('link');
    const element = this.id('link').first();
    const text = await element.evaluate((e) => e.value ?? e.textContent);
    return text.trim();
  }

  async visit(link, query = '') {
    await this.page.goto(withQuery(link, query));
  }

  async accept() {
    await this.shown('accept');
    await this.id('accept').click();
  }

  /** Waits until the element with this test id shows; an error of the page that shows first is this method's. */
  async shown(testid, ms = 120_000) {
    const wanted = this.id(testid).first();
    if (testid === 'error') return wanted.waitFor({ state: 'visible', timeout: ms });
    const error = this.id('error').first();
    const first = wanted.or(error).first();
    try {
      await first.waitFor({ state: 'visible', timeout: ms });
    } catch {
      throw new Error(`${this.name}: no "${testid}" within ${ms / 1000} s`);
    }
    if (await wanted.isVisible()) return undefined;
    throw new Error(`${this.name}: waiting for "${testid}", the page says: ${await error.innerText()}`);
  }

  /** Waits for words in what the page shows. */
  async says(pattern, ms = 120_000) {
    const source = [pattern.source, pattern.flags];
    try {
      await this.page.waitForFunction(([s, f]) => new RegExp(s, f).test(document.body.innerText), source, { timeout: ms });
    } catch {
      throw new Error(`${this.name}: the page doesn't say ${pattern} within ${ms / 1000} s; it says:\n${await this.text()}`);
    }
  }

  async text() {
    return this.page.evaluate(() => document.body.innerText).catch((e) => `(no text: ${e.message})`);
  }

  /** Presses "Try again", and waits until the page has left what it said before. */
  async tryAgain() {
    await this.press('Try again');
    await this.id('error').first().waitFor({ state: 'hidden', timeout: 120_000 });
  }

  /** Presses the first button whose name matches. */
  async press(name) {
    await this.page.getByRole('button', { name }).first().click();
  }

  async errorText() {
    await this.shown('error');
    return this.id('error').first().innerText();
  }

  async path() {
    await this.shown('path');
    return (await this.id('path').first().innerText()).trim();
  }

  /** The first download, on disk: {name, path, sha256}. */
  async downloaded(ms = 180_000) {
    const download = await within(ms, () => `${this.name}: no download began`, this.#download.promise);
    const path = await within(ms, () => `${this.name}: the download did not end`, download.path());
    return { name: download.suggestedFilename(), path, sha256: await sha256Of(path) };
  }

  /**
   * The same for a file whose size is known. Firefox says nothing of a Blob's download, by BiDi; so this looks into the
   * folder there.
   */
  async landed(size) {
    if (this.kind !== 'firefox') return this.downloaded();
    const dir = this.browser.downloads;
    const name = await until(`${this.name}: a download of ${size} bytes`, async () => {
      const files = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name);
      if (files.some((file) => file.endsWith('.part'))) return undefined;
      return files.find((file) => statSync(join(dir, file)).size === size);
    });
    return { name, path: join(dir, name), sha256: await sha256Of(join(dir, name)) };
  }

  /** What no page should do, whatever happens to it. */
  problems() {
    return this.log.filter((line) => /^(error|exception):/.test(line));
  }

  /** Everything that left or reached this page by way of the server, as text. */
  traffic() {
    return [
      ...this.requests.map((r) => `${r.method} ${r.url} ${JSON.stringify(r.headers)} ${r.body}`),
      ...this.frames.map((f) => f.text),
      ...this.answers.map((a) => JSON.stringify(a.json)),
    ];
  }

  async evidence() {
    const lines = [`── ${this.name} (${this.kind}) ${this.page.url().replace(/#.*/, '#…')}`, await this.text(), ...this.log.slice(-40)];
    return lines.join('\n');
  }
}
