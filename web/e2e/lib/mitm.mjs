/** Whoever runs the server can rewrite what it passes on. This is that server, between a guest's page and the real one. */

const separator = '\x1e';

/**
 * Sends each SignalR record of the page's connection through `rewrite(direction, record)`, which returns the record to
 * pass on, or undefined to swallow it; direction is 'up' (to the server) or 'down'. The result sends records itself.
 */
export async function intercept(page, rewrite) {
  const line = {};
  await page.routeWebSocket(/\/client/, (near) => {
    const far = near.connectToServer();
    const sides = { up: far, down: near };
    line.send = (direction, record) => sides[direction].send(JSON.stringify(record) + separator);
    const pass = (direction) => (message) => {
      const records = String(message).split(separator).filter(Boolean).map((text) => rewrite(direction, JSON.parse(text)));
      const kept = records.filter((record) => record !== undefined);
      if (kept.length > 0) sides[direction].send(kept.map((record) => JSON.stringify(record) + separator).join(''));
    };
    near.onMessage(pass('up'));
    far.onMessage(pass('down'));
  });
  return line;
}

/** The signal in a record, for rewriting: {to or from, n, data}. */
export function signalOf(record) {
  return record.type === 1 && record.target === 'signal' ? record.arguments[0] : undefined;
}

/**
 * Runs in the attacker's page: two connections, one as guest towards the host, one as host towards the guest, whose
 * channels are joined in the middle. `mode` says what happens to messages there: 'forward', or 'reflect' them to their sender.
 */
function attack(mode) {
  const ends = {};
  const other = { host: 'guest', guest: 'host' };
  window.seen = [];
  // Patient: nothing is passed on before both sides have shown what they have.
  const spoken = new Set();
  let passOn;
  const bothSpoke = new Promise((resolve) => {
    passOn = resolve;
  });
  for (const side of ['host', 'guest']) {
    const pc = new RTCPeerConnection({ iceServers: [] });
    const end = (ends[side] = { pc, channels: {}, work: Promise.resolve() });
    pc.onicecandidate = ({ candidate }) => candidate && window.emit(side, { type: 'candidate', candidate: candidate.toJSON() });
    for (const [id, label] of ['control', 'data'].entries()) {
      const channel = pc.createDataChannel(label, { negotiated: true, id });
      channel.binaryType = 'arraybuffer';
      channel.opened = new Promise((resolve) => {
        channel.onopen = resolve;
      });
      channel.onmessage = async ({ data }) => {
        window.seen.push({ from: side, label, text: typeof data === 'string' ? data : `${data.byteLength} bytes` });
        if (spoken.add(side).size === 2) passOn();
        await bothSpoke;
        const target = ends[mode === 'reflect' ? side : other[side]].channels[label];
        await target.opened;
        if (target.readyState === 'open') target.send(data);
      };
      end.channels[label] = channel;
    }
  }
  const describe = async (side) => {
    await ends[side].pc.setLocalDescription();
    const { type, sdp } = ends[side].pc.localDescription;
    window.emit(side, { type: 'description', description: { type, sdp } });
  };
  window.take = (side, data) => {
    const end = ends[side];
    end.work = end.work.then(async () => {
      if (data.type === 'candidate' && data.candidate) await end.pc.addIceCandidate(data.candidate);
      if (data.type !== 'description') return;
      await end.pc.setRemoteDescription(data.description);
      if (side === 'host') {
        await describe('host');
        await describe('guest');
      }
    });
    return end.work;
  };
}

/** A man in the middle of the first link between host and guest: each gets the attacker's descriptions for the other's. */
export class Middle {
  /** what went through the attacker's hands: {from, label, text} */
  seen() {
    return this.page.evaluate(() => window.seen);
  }

  static async between(guestPage, attackerPage, mode) {
    const middle = new Middle();
    middle.page = attackerPage;
    let n = 1_000_000;
    let about; // {host, link}: whom the guest talks to
    const line = await intercept(guestPage, (direction, record) => {
      if (record.type === 3 && String(record.invocationId).startsWith('middle')) return undefined; // the server's answers to the attacker
      const signal = signalOf(record);
      if (!signal || (signal.data.type !== 'description' && signal.data.type !== 'candidate')) return record;
      if (direction === 'down') about = { host: signal.from, link: signal.data.link };
      // A failure shows in what was seen: nothing.
      attackerPage.evaluate(([side, data]) => window.take(side, data), [direction === 'down' ? 'host' : 'guest', signal.data]).catch(() => {});
      return undefined;
    });
    await attackerPage.exposeFunction('emit', (side, data) => {
      const signal = { n: ++n, data: { ...data, link: about.link } };
      if (side === 'guest') line.send('down', { type: 1, target: 'signal', arguments: [{ from: about.host, role: 'host', ...signal }] });
      else line.send('up', { type: 1, invocationId: `middle${n}`, target: 'signal', arguments: [{ to: about.host, ...signal }] });
    });
    await attackerPage.evaluate(attack, mode);
    return middle;
  }
}
