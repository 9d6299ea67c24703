import { expect, test } from 'vitest';
import { concat, equal, fromBase64Url, toBase64Url, utf8 } from './bytes';
import { randomBytes } from './crypto';

test('base64url is what node makes of it, and back', () => {
  for (let length = 0; length < 70; length++) {
    const bytes = randomBytes(length);
    const text = toBase64Url(bytes);
    expect(text).toBe(Buffer.from(bytes).toString('base64url'));
    expect(fromBase64Url(text)).toEqual(bytes);
  }
});

test.each(['A', 'AAAAA', 'AB', 'AA==', 'A+/A', 'AA A', 'Ä'])('refuses %j', (text) => {
  expect(fromBase64Url(text)).toBeUndefined();
});

test('equal and concat', () => {
  expect(equal(utf8('ab'), concat(utf8('a'), utf8('b')))).toBe(true);
  expect(equal(utf8('ab'), utf8('ac'))).toBe(false);
  expect(equal(utf8('ab'), utf8('abc'))).toBe(false);
});
