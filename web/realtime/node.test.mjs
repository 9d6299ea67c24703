/** Clients in Node, over each transport and protocol. */
import { describe } from 'node:test';
import { combinations, exchange } from './lib/exchange.mjs';
import { inNode } from './lib/places.mjs';
import { stage } from './lib/scene.mjs';

describe('in Node', () => {
  const scene = stage(inNode);
  for (const c of combinations) describe(`${c.transport}, ${c.protocol}`, () => exchange(scene, c));
});
