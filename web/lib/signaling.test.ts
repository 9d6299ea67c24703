import { expect, test } from 'vitest';
import { Seen, parseSignal, retryDelayMs } from './signaling';

test.each([
  { type: 'here' },
  { type: 'busy' },
  { type: 'description', link: 1, description: { type: 'offer', sdp: 'v=0' } },
  { type: 'candidate', link: 2, candidate: { candidate: '', sdpMid: '0' } },
  { type: 'candidate', link: 2, candidate: null },
  { type: 'cancel', link: 1, reason: 'user' },
  { type: 'cancel', link: 1, reason: 'unverified' },
])('takes %j', (data) => {
  expect(parseSignal({ ...data, later: 1 })).toEqual(data);
});

test.each([
  undefined, null, 'here', [], {}, { type: 'there' },
  { type: 'description', description: { type: 'offer', sdp: 'v=0' } },
  { type: 'description', link: 0, description: { type: 'offer', sdp: 'v=0' } },
  { type: 'description', link: 1, description: { type: 'rollback', sdp: '' } },
  { type: 'description', link: 1 },
  { type: 'candidate', link: 1 },
  { type: 'candidate', link: 1, candidate: { candidate: 1 } },
  { type: 'cancel', link: 1, reason: 'whim' },
])('refuses %j', (data) => {
  expect(parseSignal(data)).toBeUndefined();
});

test('a signal counts once, and the memory of it is bounded', () => {
  const seen = new Seen();
  expect(seen.first('a', 1)).toBe(true);
  expect(seen.first('a', 1)).toBe(false);
  expect(seen.first('b', 1)).toBe(true);
  for (let n = 2; n < 5000; n++) expect(seen.first('a', n)).toBe(true);
  expect(seen.first('a', 4999)).toBe(false);
});

test('retries go on for ever, at most every eight seconds', () => {
  expect(retryDelayMs(0, 0)).toBe(125);
  expect(retryDelayMs(0, 1)).toBe(250);
  for (const retries of [5, 50, 5000]) {
    expect(retryDelayMs(retries, 0)).toBe(4000);
    expect(retryDelayMs(retries, 1)).toBe(8000);
  }
});
