import { describe, expect, test } from 'vitest';
import { fold, safeName, safeNames } from './names';
import vectors from './testdata/names.json';

describe('vectors', () => {
  test.each(vectors.single)('$in', ({ in: raw, out }) => {
    expect(safeName(raw)).toBe(out);
    expect(safeName(out)).toBe(out); // stable
  });
  test.each(vectors.sets)('$in', ({ in: raw, out }) => {
    expect(safeNames(raw)).toEqual(out);
  });
});

test('lone surrogates are replaced', () => {
  expect(safeName('a\ud800b.txt')).toBe('a_b.txt');
});

test('whatever comes in, what goes out is one safe component, and all differ', () => {
  const alphabet = ['a', 'A', 'é', 'e\u0301', '😀', '.', '.', ' ', '/', '\\', '\u202e', '\u0000', 'con', 'nul', ':', 'x'.repeat(90), '日'.repeat(40)];
  let state = 42;
  const random = (n: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n;
  const raw = Array.from({ length: 1000 }, () => Array.from({ length: random(9) }, () => alphabet[random(alphabet.length)]!).join(''));
  const names = safeNames(raw);
  for (const name of names) {
    expect(new TextEncoder().encode(name).length).toBeLessThanOrEqual(255);
    expect(name).not.toMatch(/[/\\\u0000-\u001f\u202e:]|[. ]$|^$/);
    expect(name).not.toMatch(/^(con|nul)(\.|$)/i);
  }
  expect(new Set(names.map(fold)).size).toBe(names.length);
});
