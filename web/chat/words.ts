/** What the chat says of a limit, and of a file that is taken: one sentence for each state. */
import type { Problem } from '../send/problems.svelte';
import type { TakingRow } from './files.svelte';

export const nearlySpent: Problem = {
  title: 'Most of what may be relayed is used up.',
  text: 'When it is, files stop. Messages go on, sealed, through the server. Directly, from the same network for example, everything goes on.',
};

export const spent: Problem = {
  title: 'What may be relayed is used up.',
  text: 'Messages go on, sealed, through the server. Files have to wait for a direct path, in the same network for example, or until tomorrow.',
};

export function takingWords({ stage, ending }: TakingRow, name: string): { text: string; bad: boolean } {
  const fine = (text: string) => ({ text, bad: false });
  const bad = (text: string) => ({ text, bad: true });
  switch (stage) {
    case 'connecting':
      return fine(`Connecting to ${name}.`);
    case 'away':
      return fine(`${name} does not answer. It goes on by itself when they are back.`);
    case 'waiting':
      return fine('Waiting for its turn.');
    case 'running':
      return fine('Receiving. Leave this page open until it is done.');
    case 'done':
      return fine('Received and verified.');
    case 'unverified':
      return bad('The connection could not be verified: somebody may be in between. Nothing was sent.');
    case 'ended':
      return bad(endingWords(ending, name));
  }
}

function endingWords(ending: TakingRow['ending'], name: string): string {
  switch (ending?.cause) {
    case 'user':
      return ending.by === 'me' ? 'You have cancelled. Nothing was kept.' : `${name} has cancelled. Nothing was kept.`;
    case 'disk':
      return 'It could not be stored. Try again, and choose another place.';
    case 'hash':
      return `The bytes that arrived are not ${name}’s, so they were thrown away.`;
    case 'source':
      return `${name}’s file can’t be read any more.`;
    case 'protocol':
      return 'What came is not what was offered.';
    case 'unconfirmed':
      return 'Received, but not confirmed: the connection ended before the last word.';
    default:
      return 'The connection was lost. Nothing was kept.';
  }
}
