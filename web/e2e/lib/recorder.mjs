/**
 * A signaling server that records everything it sees: a proxy before the real one, which keeps all bytes in both directions. What
 * WebSocket clients mask is unmasked, so that all of it can be searched.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { realtimeOf, setRealtimeOf } from './functions.mjs';
import { renamed } from './proxy.mjs';

const headEnd = Buffer.from('\r\n\r\n');

export class Recorder {
  #streams = [];
  #sockets = new Set();
  #second;
  #rename;

  /** @param {string} origin what it is before; where pages of it connect to elsewhere, another one is before that */
  static async start(origin) {
    const recorder = new Recorder();
    const { hostname, port } = new URL(origin);
    const realtime = realtimeOf(origin);
    if (realtime) {
      recorder.#second = await Recorder.start(realtime);
      recorder.#rename = [new URL(realtime).host, new URL(recorder.#second.origin).host];
    }
    recorder.server = createServer((near) => recorder.#serve(near, connect(Number(port), hostname)));
    recorder.server.listen(0, '127.0.0.1');
    await once(recorder.server, 'listening');
    recorder.origin = `http://localhost:${recorder.server.address().port}`;
    if (realtime) setRealtimeOf(recorder.origin, recorder.#second.origin);
    return recorder;
  }

  #serve(near, far) {
    const stream = { up: [], down: [] };
    this.#streams.push(stream);
    near.on('data', (bytes) => stream.up.push(bytes) && far.write(bytes));
    const down = this.#rename ? far.pipe(renamed(...this.#rename)) : far;
    down.on('data', (bytes) => stream.down.push(bytes) && near.write(bytes));
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => other.destroy() && this.#sockets.delete(one));
    }
  }

  async close() {
    await this.#second?.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Everything, as one Buffer: the bytes of each direction of each connection, and the messages in them. */
  seen() {
    const parts = this.#second ? [this.#second.seen()] : [];
    for (const { up, down } of this.#streams) {
      for (const bytes of [Buffer.concat(up), Buffer.concat(down)]) parts.push(bytes, ...messages(bytes));
    }
    return Buffer.concat(parts.flatMap((part) => [part, Buffer.from('\n')]));
  }
}

/** The payloads of the WebSocket frames in one direction of a connection that was upgraded. */
function messages(bytes) {
  const at = bytes.indexOf(headEnd);
  if (at < 0 || !/^upgrade: *websocket/im.test(bytes.subarray(0, at).toString('latin1'))) return [];
  const found = [];
  let offset = at + headEnd.length;
  while (offset + 2 <= bytes.length) {
    const masked = bytes[offset + 1] & 0x80;
    let length = bytes[offset + 1] & 0x7f;
    offset += 2;
    if (length === 126) {
      length = bytes.readUInt16BE(offset);
      offset += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(offset));
      offset += 8;
    }
    const mask = masked ? bytes.subarray(offset, offset + 4) : undefined;
    if (masked) offset += 4;
    const payload = Buffer.from(bytes.subarray(offset, offset + length));
    if (mask) for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3];
    found.push(payload);
    offset += length;
  }
  return found;
}

/** The forms in which bytes may be hidden in a record. base64 in all three alignments, without the ends that depend on neighbours. */
function forms(bytes, text) {
  const list = [['raw', bytes], ['hex', bytes.toString('hex')], ['HEX', bytes.toString('hex').toUpperCase()]];
  for (let shift = 0; shift < 3; shift++) {
    const base64 = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64').replace(/=/g, '');
    const middle = base64.slice(shift === 0 ? 0 : shift + 1, -1 - ((bytes.length + shift) % 3 === 0 ? 0 : 1));
    list.push([`base64+${shift}`, middle], [`base64url+${shift}`, middle.replace(/\+/g, '-').replace(/\//g, '_')]);
  }
  if (text !== undefined) {
    const escape = (match) => `\\u${match.charCodeAt(0).toString(16).padStart(4, '0')}`;
    const utf16 = Buffer.from(text, 'utf16le');
    list.push(
      ['percent', encodeURIComponent(text)], ['percent, all', [...bytes].map((b) => `%${b.toString(16).padStart(2, '0')}`).join('')],
      ['JSON', JSON.stringify(text).slice(1, -1)], ['JSON, ASCII', JSON.stringify(text).slice(1, -1).replace(/[^\x20-\x7e]/g, escape)],
      ['JSON, all', text.replace(/[\s\S]/g, escape)], ['HTML', [...text].map((c) => `&#${c.codePointAt(0)};`).join('')],
      ['UTF-16LE', utf16], ['UTF-16BE', Buffer.from(utf16).swap16()],
    );
  }
  return list.map(([form, what]) => [form, Buffer.from(what)]);
}

/** In which form the record holds the text or bytes; undefined if in none. */
export function findIn(record, needle) {
  const text = typeof needle === 'string' ? needle : undefined;
  const bytes = text === undefined ? Buffer.from(needle) : Buffer.from(text);
  const lower = Buffer.from(record.toString('latin1').toLowerCase(), 'latin1');
  for (const [form, what] of forms(bytes, text)) {
    if (record.includes(what)) return form;
    if (/percent|JSON/.test(form) && lower.includes(Buffer.from(what.toString('latin1').toLowerCase(), 'latin1'))) return form;
  }
  return undefined;
}

/** All the forms in which findIn looks, for a test of it. */
export { forms };
