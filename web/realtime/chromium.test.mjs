/** Clients in pages of Chromium, whose origin is not the service's, over each transport and protocol. */
import { describe } from 'node:test';
import { combinations, exchange } from './lib/exchange.mjs';
import { inChromium } from './lib/places.mjs';
import { stage } from './lib/scene.mjs';

describe('in Chromium', () => {
  const scene = stage((app) => inChromium(app.origin));
  for (const c of combinations) describe(`${c.transport}, ${c.protocol}`, () => exchange(scene, c));
});
