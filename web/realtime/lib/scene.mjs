/** An application, a service, and a place for clients, for the tests of one file. */
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { App } from './app.mjs';
import { scratch, Service } from './service.mjs';

/** Sets it up before the tests here, and ends it after them; returns what returns it. `place(app)` makes the place. */
export function stage(place, { config = {}, args } = {}) {
  const scene = {};
  before(async () => {
    scene.scratch = await scratch();
    scene.app = await App.start();
    scene.service = await Service.start(scene.scratch.dir, { upstream: scene.app.upstreams(), ...config }, { args });
    scene.app.use(scene.service);
    scene.place = await place(scene.app);
  });
  afterEach(async () => {
    await scene.place?.clear();
    assert.deepEqual(scene.app?.problems.splice(0), []);
  });
  after(async () => {
    await scene.place?.close();
    const ended = await scene.service?.stop();
    await scene.app?.close();
    await scene.scratch?.remove();
    if (ended) assert.deepEqual(ended, { code: 0, signal: null }, scene.service.stderr);
  });
  return () => scene;
}
