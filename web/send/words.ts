/** What the pages say: for each state one sentence in plain words, and what to do next. */
import { memoryLimit } from '../lib/memory-sink';
import { countFiles, formatBytes } from '../ui/format';
import type { BridgeState } from '../ui/bridge';
import { DownloadCancelled } from './sinks/download';
import type { Receiver } from './receiver.svelte';
import type { GuestRow } from './sender.svelte';
import { zipName, type SinkKind } from './sinks/choose';

export interface Words {
  title: string;
  text: string;
}

export const unverified: Words = {
  title: 'The connection could not be verified.',
  text: 'Somebody may be between you and the sender, or the link was changed on its way. Nothing was sent. Ask the sender for a new link, by a way that you trust.',
};

type ReceiverState = Pick<Receiver, 'stage' | 'phase' | 'ending' | 'failure' | 'setback' | 'interrupted' | 'ahead' | 'files' | 'total' | 'online'>;

/** The heading of the receiver's page and the sentence below it. */
export function receiverWords(r: ReceiverState): Words {
  switch (r.stage) {
    case 'joining':
      return { title: 'Opening the link.', text: 'The server is being asked who is behind it.' };
    case 'refused':
      return { title: 'This link does not open.', text: '' };
    case 'waiting':
      return setback(r) ?? { title: 'Looking for the sender.', text: r.online ? 'This takes a moment.' : 'Connecting to the server.' };
    case 'away':
      return {
        title: 'The sender is away.',
        text: 'Their device may be asleep or offline. Leave this page open: it connects by itself when they are back. If they have closed their page, ask for a new link.',
      };
    case 'busy':
      return { title: 'The sender has too many visitors.', text: 'Leave this page open: it tries again by itself every few seconds.' };
    case 'connecting':
      return setback(r) ?? { title: 'Connecting to the sender.', text: 'Looking for the best path between your two devices.' };
    case 'verifying':
      return { title: 'Checking the connection.', text: 'Making sure that it ends at the sender’s page and nowhere else.' };
    case 'unverified':
      return { title: 'No connection was made.', text: '' };
    case 'linked':
    case 'ended':
      return transferWords(r);
  }
}

function setback(r: ReceiverState): Words | undefined {
  if (r.setback === 'unreachable') {
    return {
      title: 'No path to the sender was found.',
      text: 'It is tried again. If that does not help, one of the two networks blocks such connections: try another network.',
    };
  }
  if (r.setback === 'lost') return { title: 'The connection was lost.', text: 'Nothing is missing yet: it is being made again.' };
  return undefined;
}

function transferWords(r: ReceiverState): Words {
  switch (r.phase) {
    case undefined:
    case 'listing':
      return { title: 'Connected to the sender.', text: 'The list of files is on its way.' };
    case 'offered':
      return { title: `${countFiles(r.files.length)} for you, ${formatBytes(r.total)}.`, text: '' };
    case 'asking':
      return { title: 'Asking the sender to begin.', text: 'It starts by itself.' };
    case 'queued':
      return {
        title: r.ahead === 1 ? 'You are next.' : `${r.ahead} people are before you.`,
        text: 'The sender serves one after another. Leave this page open: it starts by itself.',
      };
    case 'full':
      return {
        title: 'All places for these files are taken.',
        text: 'If somebody gives up, a place becomes free: try again later, or ask the sender for a new link.',
      };
    case 'running':
      if (r.interrupted) return { title: 'The network is gone.', text: 'The transfer goes on where it stopped as soon as the network is back.' };
      return { title: 'Receiving.', text: 'Leave this page open until it is done.' };
    case 'closing':
      return { title: 'Comparing.', text: 'All bytes are here. The sender is asked whether they are the right ones.' };
    case 'done':
      return {
        title: 'Done and verified.',
        text: `${r.files.length === 1 ? 'The file is' : 'The files are'} exactly what the sender has. You can close this page.`,
      };
    case 'ended':
      return { title: r.ending?.cause === 'unconfirmed' ? 'Received.' : 'Nothing was received.', text: '' };
  }
}

/** How the transfer ended for the receiver, if not well. */
export function receiverEnding({ ending, failure }: Pick<Receiver, 'ending' | 'failure'>): Words {
  const me = ending?.by === 'me';
  switch (ending?.cause) {
    case 'user':
      return me
        ? { title: 'You have cancelled.', text: 'Nothing was kept. You can connect again and accept.' }
        : { title: 'The sender has cancelled.', text: 'Nothing was kept. Ask the sender, or try again.' };
    case 'disk':
      return diskWords(failure);
    case 'hash':
      return {
        title: 'The bytes that arrived are not the sender’s.',
        text: 'They were changed on the way or by a broken disk, so they were thrown away. Try again.',
      };
    case 'source':
      return {
        title: 'The sender’s file can’t be read any more.',
        text: 'It was changed, moved or deleted while it was sent. Ask the sender to choose it again and send a new link.',
      };
    case 'protocol':
      return {
        title: 'The two pages don’t understand each other.',
        text: 'One of them may be of another version. Both sides should reload; the sender then shares the new link.',
      };
    case 'unconfirmed':
      return {
        title: 'Received, but not confirmed.',
        text: 'All bytes are here and their checksums are right, but the connection ended before the sender’s last word. The files were kept.',
      };
    default:
      return { title: 'The connection was lost.', text: 'The sender’s page was closed or a network failed. What had arrived was not kept. Try again.' };
  }
}

function diskWords(failure: unknown): Words {
  if (failure instanceof DownloadCancelled) {
    return { title: 'The download was cancelled in the browser.', text: 'Nothing was kept. You can connect again and accept.' };
  }
  if (failure instanceof DOMException && failure.name === 'QuotaExceededError') {
    return { title: 'There is no room left to store the files.', text: 'Free some space, then try again.' };
  }
  const said = failure instanceof Error && failure.message ? ` What the browser said: ${failure.message}` : '';
  return { title: 'The files could not be stored.', text: `Try again, and choose another place if you are asked.${said}` };
}

/** Where accepted files go. */
export function placeWords(kind: SinkKind, count: number): string {
  if (kind === 'disk') return count === 1 ? 'You choose where it is saved.' : 'You choose the folder they are saved in.';
  return count === 1 ? 'It goes to your downloads.' : `They go to your downloads, as ${zipName}.`;
}

/** Why this page can't take so much, and what to do. */
export function tooLargeWords(total: number, secure: boolean): Words {
  const limit = formatBytes(memoryLimit);
  const why = secure
    ? 'This browser gives the page no way to write to disk while it receives (some private windows don’t)'
    : 'This page was opened over plain http, and browsers let such pages keep files only in memory';
  const what = secure
    ? 'Open the link in a normal window or in another browser.'
    : 'Open the link over https, or ask the sender to set the server up with a certificate.';
  return { title: `${formatBytes(total)} are too much for this page.`, text: `${why}, which is safe up to ${limit}. ${what} Or ask for smaller files.` };
}

/** One guest in the sender's list. `bad`: it ended otherwise than well. */
export interface GuestWords {
  text: string;
  bridge: BridgeState;
  bad: boolean;
}

export function guestWords(row: GuestRow): GuestWords {
  const joined = (text: string): GuestWords => ({ text, bridge: 'joined', bad: false });
  switch (row.phase) {
    case 'offered':
      return row.linkPhase === 'ready' ? joined('is looking at the list of files') : connectionWords(row);
    case 'accepted':
      return joined('has accepted');
    case 'queued':
      return joined(row.ahead === 1 ? 'has accepted and is next' : `has accepted, ${row.ahead} are before`);
    case 'full':
      return joined('found all places taken');
    case 'running':
      return row.interrupted ? { text: 'has lost the network; it goes on when that is back', bridge: 'meeting', bad: false } : joined('is receiving');
    case 'verifying':
      return joined('has everything and is comparing');
    case 'done':
      return { text: 'has everything, verified', bridge: 'done', bad: false };
    case 'ended':
      return { text: endingWords(row), bridge: 'broken', bad: true };
    default:
      return connectionWords(row);
  }
}

function connectionWords(row: GuestRow): GuestWords {
  if (row.linkPhase !== 'closed') {
    return { text: row.linkPhase === 'connecting' ? 'is connecting' : 'is being verified', bridge: 'meeting', bad: false };
  }
  if (row.linkEnd === 'unverified') {
    return { text: 'could not be verified. Nothing was sent. If that happens again, share a new link by a way that you trust.', bridge: 'broken', bad: true };
  }
  if (row.linkEnd === 'unreachable') {
    return { text: 'could not be reached: no path between the two networks was found. Their page tries again.', bridge: 'broken', bad: true };
  }
  return { text: 'has left', bridge: 'apart', bad: false };
}

function endingWords({ ending }: GuestRow): string {
  const me = ending?.by === 'me';
  switch (ending?.cause) {
    case 'user':
      return me ? 'was cancelled by you' : 'has cancelled';
    case 'disk':
      return 'could not store the files: their disk is full, or the download was stopped there';
    case 'hash':
      return 'received other bytes than were sent, and threw them away. They can try again.';
    case 'source':
      return 'could not be served: a file was changed, moved or deleted. Reload this page and choose the files again.';
    case 'protocol':
      return 'sent something that this page does not understand. Reload both pages, then share the new link.';
    default:
      return 'has lost the connection. Their page offers to try again.';
  }
}
