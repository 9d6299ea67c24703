import { expect, test } from 'vitest';
import { formatBytes, formatDuration, formatPercent } from './format';

test.each([
  [0, '0 bytes'], [1, '1 byte'], [1023, '1023 bytes'], [1024, '1.0 KiB'], [1536, '1.5 KiB'], [10_240, '10 KiB'],
  [1_048_575, '1.0 MiB'], [268_435_456, '256 MiB'], [2 ** 40, '1.0 TiB'], [2 ** 53, '8.0 PiB'],
])('%i bytes', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0.2, '1 s'], [59, '59 s'], [60, '1 min 0 s'], [209, '3 min 20 s'], [1800, '30 min'], [7500, '2 h 5 min'],
])('%d seconds', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test('percent is never rounded up', () => {
  expect(formatPercent(0.9999)).toBe('99 %');
  expect(formatPercent(1)).toBe('100 %');
});
