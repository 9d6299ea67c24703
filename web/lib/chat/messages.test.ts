import { expect, test } from 'vitest';
import { cleanName, cleanText, maxName, maxText, parseBody } from './messages';

const item = { type: 'text', text: 'hi', at: 5 };
const stream = 'AAAAAAAAAAA';

test.each([
  { type: 'item', stream, n: 3, base: 1, item },
  { type: 'item', stream, n: 3, base: 3, item: { type: 'file', id: 7, name: 'a.txt', size: 0, at: 1 } },
  { type: 'item', stream, n: 3, base: 3, item: { type: 'unfile', id: 7 } },
  { type: 'ack', stream, n: 0 },
  { type: 'typing' },
  { type: 'ping' },
  { type: 'bye' },
  { type: 'file', id: 1, data: { type: 'want' } },
  { type: 'file', id: 1, data: { type: 'cancel', link: 4, reason: 'user' } },
])('takes %j', (body) => {
  expect(parseBody(JSON.stringify({ ...body, later: 1 }))).toEqual(body);
});

test.each([
  undefined, '', 'null', '[]', '{}', '{"type":"shout"}', '{"type":"ack","stream":"A","n":1}', `{"type":"ack","stream":"${stream}","n":-1}`,
  ...[
    { n: 0 }, { base: 0 }, { base: 4 }, { n: 2 ** 60 }, { stream: 'x' }, { item: undefined }, { item: { type: 'text', text: '', at: 1 } }, { item: { type: 'text', text: ' \u0007', at: 1 } },
    { item: { type: 'text', text: 'x'.repeat(maxText + 1), at: 1 } }, { item: { type: 'text', text: 'x' } }, { item: { type: 'text', text: 7, at: 1 } },
    { item: { type: 'file', id: 2 ** 20, name: 'a', size: 1, at: 1 } }, { item: { type: 'file', id: 1, name: 'a'.repeat(301), size: 1, at: 1 } }, { item: { type: 'file', id: 1, name: 'a', size: -1, at: 1 } },
  ].map((over) => JSON.stringify({ type: 'item', stream, n: 3, base: 3, item, ...over })),
  '{"type":"file","id":1,"data":{"type":"description"}}', '{"type":"file","id":0,"data":{"type":"want"}}', '{"type":"file","id":1,"data":{"type":"cancel","link":1,"reason":"whim"}}',
])('refuses %s', (text) => {
  expect(parseBody(text)).toBeUndefined();
});

test('file names follow the rules of transfers', () => {
  const body = parseBody(JSON.stringify({ type: 'item', stream, n: 1, base: 1, item: { type: 'file', id: 1, name: '../..\\con\u202etxt.exe', size: 1, at: 1 } }));
  expect(body).toMatchObject({ item: { name: '.._.._con_txt.exe' } });
});

test('texts keep their lines, and lose what could deceive', () => {
  expect(cleanText('  a\r\nb\rc\n\n')).toBe('a\nb\nc');
  expect(cleanText('pay \u202eecila\u202c \u0000\u001b[31m')).toBe('pay ecila [31m');
  expect(cleanText('\ud800x')).toBe('\ufffdx');
  expect(cleanText('👩‍👧')).toBe('👩‍👧');
  expect(cleanText('x'.repeat(maxText - 1) + '👋').length).toBe(maxText - 1);
});

test('names are one line without invisible characters', () => {
  expect(cleanName('  Ada\n\tLovelace ')).toBe('AdaLovelace');
  expect(cleanName('A\u200bd\u202ea')).toBe('Ada');
  expect(cleanName('\u200b\u2060')).toBe('');
  expect(cleanName('é')).toBe(cleanName('e\u0301'));
  expect(cleanName('x'.repeat(100)).length).toBe(maxName);
});
