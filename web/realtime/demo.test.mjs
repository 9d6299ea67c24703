/** The published example chat's contract, by the real client: in Node, and in a page of another origin in Chromium, as its front end is. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { HubConnectionBuilder } from '@microsoft/signalr';
import { chromium } from 'playwright-core';
import { args, executablePath } from '../e2e/lib/chromium.mjs';
import { Server } from '../e2e/lib/server.mjs';
import { Log, within } from './lib/conditions.mjs';
import { scratch } from './lib/service.mjs';

const library = createRequire(import.meta.url).resolve('@microsoft/signalr').replace(/dist.*/, 'dist/browser/signalr.js');

describe('the example chat', () => {
  let folder, elsewhere, server;
  const clients = [];

  before(async () => {
    folder = await scratch();
    elsewhere = createServer(async (request, response) => {
      response.setHeader('Content-Type', request.url === '/' ? 'text/html' : 'text/javascript');
      response.end(request.url === '/' ? '<!doctype html><title>chat</title><script src="/signalr.js"></script>' : await readFile(library));
    }).listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    elsewhere.origin = `http://127.0.0.1:${elsewhere.address().port}`;
    server = await Server.start({ dataDir: folder.dir, turnListen: '127.0.0.1:0', args: ['--demo', '--demo-origin', elsewhere.origin] });
  });
  after(async () => {
    await Promise.all(clients.map((c) => c.stop()));
    await server?.stop();
    elsewhere?.close();
    await folder?.remove();
  });

  /** A client as the published front end has it; `got` is what it received, {target, what}. */
  async function client(name) {
    const connection = new HubConnectionBuilder().withUrl(`${server.origin}/api`, { headers: { userId: name } }).configureLogging({ log() {} }).build();
    connection.got = new Log();
    for (const target of ['onMessage', 'onStatistics', 'onTURNCredidentials']) connection.on(target, (...args) => connection.got.add({ target, args }));
    clients.push(connection);
    await connection.start();
    return connection;
  }
  const next = (connection, target, n = 1) => connection.got.wait(`${target} ${n}`, (all) => all.filter((one) => one.target === target)[n - 1]?.args);

  test('alone with STUN, then in company: messages, statistics and credentials', async () => {
    const ann = await client('Ann');
    await ann.invoke('aquireturncredential', 'europe');
    const [alone] = await next(ann, 'onTURNCredidentials');
    assert.ok(alone.every(({ urls, credential }) => !credential && urls.every((u) => u.startsWith('stun:'))), JSON.stringify(alone));

    const bob = await client('<b>Bob</b>');
    await bob.send('broadcast', '<i>hello</i>');
    for (const one of [ann, bob]) {
      const [message] = await next(one, 'onMessage');
      assert.equal(typeof message.ConnectionId, 'string');
      assert.deepEqual({ ...message, ConnectionId: '' }, { ConnectionId: '', UserId: '<b>Bob</b>', Text: '<i>hello</i>' });
      assert.deepEqual((await next(one, 'onStatistics'))[0], { Messages: 1, MessagesToday: 1 });
    }
    await ann.invoke('broadcast', 'hi');
    assert.equal((await next(bob, 'onMessage', 2))[0].UserId, 'Ann');
    assert.deepEqual((await next(ann, 'onStatistics', 2))[0], { Messages: 2, MessagesToday: 2 });

    await ann.invoke('aquireturncredential', 'europe');
    const [servers] = await next(ann, 'onTURNCredidentials', 2);
    const turn = servers.find(({ urls }) => urls.some((u) => u.startsWith('turn:')));
    assert.ok(turn?.username && turn.credential, JSON.stringify(servers));
  });

  test('too much, too long and nonsense are refused with a reason', async () => {
    const eve = await client('Eve');
    await assert.rejects(eve.invoke('broadcast', 'x'.repeat(5000)), /too long/);
    await assert.rejects(eve.invoke('broadcast', { text: 'x' }), /not understood/);
    const answers = await Promise.allSettled(Array.from({ length: 30 }, () => eve.invoke('broadcast', 'x')));
    assert.ok(answers.filter(({ status }) => status === 'rejected').length >= 10);
    await assert.rejects(client(' '), /400/);
  });

  test('two pages of another origin talk over the closed relay', { timeout: 120_000 }, async () => {
    const browser = await chromium.launch({ executablePath, args });
    try {
      const page = await browser.newPage();
      await page.goto(elsewhere.origin);
      const said = await within(() => 'the pages did not meet', page.evaluate(async (api) => {
        const join = async (userId) => {
          const hub = new signalR.HubConnectionBuilder().withUrl(api, { headers: { userId } }).build();
          const servers = new Promise((resolve) => hub.on('onTURNCredidentials', resolve));
          await hub.start();
          return { hub, servers };
        };
        const both = [await join('Ann'), await join('Bob')];
        const peers = [];
        for (const one of both) {
          await one.hub.invoke('aquireturncredential', 'europe');
          peers.push(new RTCPeerConnection({ iceServers: await one.servers, iceTransportPolicy: 'relay' }));
        }
        const [a, b] = peers;
        a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
        b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
        const channel = a.createDataChannel('chat');
        const heard = new Promise((resolve) => { b.ondatachannel = (e) => { e.channel.onmessage = (m) => resolve(m.data); }; });
        channel.onopen = () => channel.send('over the relay');
        await a.setLocalDescription();
        await b.setRemoteDescription(a.localDescription);
        await b.setLocalDescription();
        await a.setRemoteDescription(b.localDescription);
        return heard;
      }, `${server.origin}/api`), 60_000);
      assert.equal(said, 'over the relay');
    } finally {
      await browser.close();
    }
  });

  test('without --demo there is no hub for it', async () => {
    const other = await Server.start({ dataDir: `${folder.dir}/other`, turnListen: 'off' });
    try {
      const response = await fetch(`${other.origin}/api/negotiate`, { method: 'POST', headers: { userId: 'Ann' } });
      assert.equal(response.status, 401);
    } finally {
      await other.stop();
    }
  });
});
