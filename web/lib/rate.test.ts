import { expect, test } from 'vitest';
import { Rate } from './rate';

test('needs a moment, then follows the last seconds', () => {
  const rate = new Rate();
  rate.add(0, 0);
  expect(rate.perSecond(0)).toBeUndefined();
  for (let t = 0; t <= 10_000; t += 100) rate.add(t * 10, t);
  expect(rate.perSecond(10_000)).toBeCloseTo(10_000, -2);
  expect(rate.secondsLeft(200_000, 10_000)).toBeCloseTo(10, 0);
});

test('a stall shows', () => {
  const rate = new Rate();
  for (let t = 0; t <= 5000; t += 100) rate.add(t * 10, t);
  for (let t = 5100; t <= 11_000; t += 100) rate.add(50_000, t);
  expect(rate.perSecond(11_000)).toBe(0);
  expect(rate.secondsLeft(60_000, 11_000)).toBeUndefined();
});
