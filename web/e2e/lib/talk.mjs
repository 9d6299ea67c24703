/** What people do in a room, for tests. */
import assert from 'node:assert/strict';
import { until } from './conditions.mjs';
import { withQuery } from './peer.mjs';

export class Talk {
  constructor(peer) {
    this.peer = peer;
    this.page = peer.page;
  }

  /** Makes a room; its link is in `link`. */
  static async start(peer, origin, name, query = '') {
    const talk = new Talk(peer);
    await peer.page.goto(withQuery(`${origin}/chat`, query));
    await talk.enter(name);
    talk.link = peer.link = await peer.readLink();
    return talk;
  }

  /** Comes into the room of a link, by another origin if that is given. */
  static async join(peer, link, name, { origin, query = '' } = {}) {
    const talk = new Talk(peer);
    const url = new URL(link);
    await peer.page.goto(withQuery(`${origin ?? url.origin}${url.pathname}${url.hash}`, query));
    await talk.enter(name);
    return talk;
  }

  async enter(name) {
    await this.peer.shown('name');
    await this.peer.id('name').fill(name);
    await this.peer.id('enter').click();
    await this.peer.shown('message');
  }

  async say(text) {
    await this.peer.id('message').fill(text);
    await this.peer.id('send').click();
  }

  /** The texts in the log, in order. */
  texts() {
    return this.page.getByTestId('text').allInnerTexts();
  }

  async sees(...wanted) {
    await until(`${this.peer.name} sees ${JSON.stringify(wanted)}`, async () => {
      const texts = await this.texts();
      return wanted.every((text) => texts.includes(text));
    });
  }

  /** Exactly these, each once, in whatever order different people wrote them. */
  async seesOnly(...wanted) {
    await this.sees(...wanted);
    assert.deepEqual((await this.texts()).toSorted(), wanted.toSorted(), `${this.peer.name}'s log`);
  }

  /** How far the newest of one's own lines has come. */
  async delivery(wanted) {
    await until(`${this.peer.name}'s last line is ${wanted}`, async () => (await this.page.getByTestId('delivery').last().getAttribute('data-delivery')) === wanted);
  }

  async people() {
    const list = this.peer.id('people');
    if ((await list.getAttribute('open')) === null) await list.locator('summary').click();
    return this.page.getByTestId('member').allInnerTexts();
  }

  async reaches(name, way) {
    await until(`${this.peer.name} reaches ${name}: ${way}`, async () => (await this.people()).some((text) => text.includes(name) && way.test(text)));
  }
}

/** Runs in a page before its own scripts: a browser with WebRTC switched off. */
export function withoutWebRTC() {
  delete window.RTCPeerConnection;
  delete window.webkitRTCPeerConnection;
}
