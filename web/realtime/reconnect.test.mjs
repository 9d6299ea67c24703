/** Clients that lose their connection, in Node and in Chromium. */
import { describe } from 'node:test';
import { combinations } from './lib/exchange.mjs';
import { inChromium, inNode } from './lib/places.mjs';
import { reconnect } from './lib/reconnect.mjs';
import { stage } from './lib/scene.mjs';

describe('connections lost in Node', () => reconnect(stage(inNode), combinations));

describe('connections lost in Chromium', () => reconnect(stage((app) => inChromium(app.origin)), combinations));
