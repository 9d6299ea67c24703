import { expect, test } from 'vitest';
import { isMessage, isStatistics, kept, keptAtMost, type Message } from './messages';

test('only what has the right shape is shown', () => {
  expect(isMessage({ ConnectionId: 'c', UserId: 'u', Text: 't' })).toBe(true);
  expect(isStatistics({ Messages: 1, MessagesToday: 1 })).toBe(true);
  for (const bad of [null, undefined, 'x', {}, { ConnectionId: 'c', UserId: 'u', Text: {} }, { Messages: '1', MessagesToday: 1 }]) {
    expect(isMessage(bad)).toBe(false);
    expect(isStatistics(bad)).toBe(false);
  }
});

test('the oldest messages go', () => {
  let list: Message[] = [];
  for (let i = 0; i < keptAtMost + 3; i++) list = kept(list, { ConnectionId: 'c', UserId: 'u', Text: `${i}` });
  expect(list.length).toBe(keptAtMost);
  expect(list[0]!.Text).toBe('3');
});
