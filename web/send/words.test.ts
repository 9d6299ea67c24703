import { expect, test } from 'vitest';
import type { GuestStage } from '../lib/guest';
import type { ReceivingPhase } from '../lib/receiving';
import type { Cause } from '../lib/transfer';
import type { GuestRow } from './sender.svelte';
import { DownloadCancelled } from './sinks/download';
import { guestWords, receiverEnding, receiverWords, tooLargeWords } from './words';

const base = { phase: undefined, ending: undefined, failure: undefined, setback: undefined, interrupted: false, ahead: 1, files: [{ name: 'a', size: 1 }], total: 1, online: true };

test('each stage and phase of the receiver has a sentence of its own', () => {
  const stages: (GuestStage | 'joining' | 'refused')[] = ['joining', 'refused', 'waiting', 'away', 'busy', 'connecting', 'verifying', 'unverified'];
  const phases: ReceivingPhase[] = ['listing', 'offered', 'asking', 'queued', 'full', 'running', 'closing', 'done'];
  const titles = [
    ...stages.map((stage) => receiverWords({ ...base, stage }).title),
    ...phases.map((phase) => receiverWords({ ...base, stage: 'linked', phase }).title),
    receiverWords({ ...base, stage: 'linked', phase: 'running', interrupted: true }).title,
    receiverWords({ ...base, stage: 'waiting', setback: 'unreachable' }).title,
    receiverWords({ ...base, stage: 'waiting', setback: 'lost' }).title,
  ];
  expect(titles.every((title) => title.endsWith('.'))).toBe(true);
  expect(new Set(titles).size).toBe(titles.length);
});

const causes: Cause[] = ['user', 'disk', 'hash', 'source', 'protocol', 'lost', 'unconfirmed'];

test('each end says what to do next', () => {
  const ends = [
    ...causes.map((cause) => receiverEnding({ ending: { by: 'peer', cause }, failure: undefined })),
    receiverEnding({ ending: { by: 'me', cause: 'user' }, failure: undefined }),
    receiverEnding({ ending: { by: 'me', cause: 'disk' }, failure: new DownloadCancelled() }),
    receiverEnding({ ending: { by: 'me', cause: 'disk' }, failure: new DOMException('full', 'QuotaExceededError') }),
  ];
  expect(ends.every(({ title, text }) => title !== '' && text !== '')).toBe(true);
  expect(new Set(ends.map(({ title }) => title)).size).toBe(ends.length);
});

test('each end of a guest is told to the host', () => {
  const row = { phase: 'ended', linkPhase: 'closed', linkEnd: undefined } as unknown as GuestRow;
  const texts = causes.filter((cause) => cause !== 'unconfirmed').map((cause) => guestWords({ ...row, ending: { by: 'peer', cause } }).text);
  expect(new Set(texts).size).toBe(texts.length);
  expect(guestWords({ ...row, phase: undefined, linkEnd: 'unverified' })).toMatchObject({ bad: true });
});

test('too much for memory: why, and what to do, on both kinds of pages', () => {
  expect(tooLargeWords(2 ** 30, false).text).toMatch(/plain http.*256 MiB.*https/);
  expect(tooLargeWords(2 ** 30, true).text).toMatch(/256 MiB.*another browser/);
});
