/** Errors that belong to no step: whatever nobody caught reaches the page's error line here. */
import { ApiError } from '../lib/api';

export interface Problem {
  title: string;
  text: string;
}

class Problems {
  current = $state<Problem | undefined>();

  report = (error: unknown): void => {
    this.current = describe(error);
  };
}

export const problems = new Problems();

/** Plain words for an error, and what to do next. */
export function describe(error: unknown): Problem {
  if (error instanceof ApiError) return describeApi(error);
  const text = error instanceof Error && error.message ? error.message : String(error);
  return { title: 'Something went wrong on this page.', text: `Reload the page to go on. What the browser said: ${text}` };
}

function describeApi(error: ApiError): Problem {
  switch (error.code) {
    case 'unreachable':
      return { title: 'The server does not answer.', text: 'Check that you are online, then try again.' };
    case 'too_many_requests':
      return { title: 'Too many tries in a short time.', text: `They come from your network. Try again ${when(error.retryAfter)}.` };
    case 'busy':
    case 'work_required':
      return { title: 'Very many people use this server right now.', text: `Try again ${when(error.retryAfter)}.` };
    case 'sessions_paused':
    case 'spend_cap':
      return {
        title: 'This server takes nobody new for now.',
        text: `What its owner lets it spend is nearly used up. What runs already goes on. Try again ${when(error.retryAfter)}.`,
      };
    case 'blocked':
      return { title: 'Your network is blocked here.', text: 'If you think that is wrong, ask whoever runs this server, or use another network.' };
    case 'cancelled':
      return { title: 'You have stopped it.', text: 'Nothing was done. Try again when you like.' };
    case 'unknown_link':
      return {
        title: 'This link is not known here.',
        text: 'Check that you copied all of it, or ask the sender for a new one. If the server was set up anew, older links are gone.',
      };
    case 'expired_link':
    case 'bad_grant':
      return { title: 'This link has expired.', text: 'Ask the sender for a new one.' };
    case 'removed':
      return { title: 'This was ended.', text: 'Whoever runs this server has ended it, or the sender has removed you. Ask the sender for a new link.' };
    default:
      return { title: 'The server could not do this.', text: `It said: ${error.message}. Try again, or tell whoever runs it.` };
  }
}

/** When trying again may help, in words. */
export function when(seconds = 60): string {
  if (seconds < 90) return 'in a minute';
  if (seconds < 5400) return `in ${Math.ceil(seconds / 60)} minutes`;
  if (seconds < 36 * 3600) return `in ${Math.ceil(seconds / 3600)} hours`;
  return `in ${Math.ceil(seconds / 86400)} days`;
}

/** A message that the server refused, which is no reason to end anything. */
export function messageProblem(code: string, otherwise: string): Problem {
  if (code === 'too_many_requests') return { title: 'This session sends too much at once.', text: 'Some of it did not get through. Wait a moment; it is tried again by itself.' };
  if (code === 'spend_cap') return { title: 'This server may spend nothing more for now.', text: 'What is connected directly goes on. New connections have to wait until tomorrow.' };
  if (code === 'blocked') return { title: 'Your network is blocked here.', text: 'What is connected directly goes on. Ask whoever runs this server, or use another network.' };
  return { title: 'The server refused a message.', text: `It said: ${code}. ${otherwise}` };
}

/** Why there is no relay, if that is worth a word: the page says itself that no path was found, or asks again. */
export function relayProblem(code: string): Problem | undefined {
  if (code === 'relay_paused') {
    return {
      title: 'The relay is reserved for those who use it already.',
      text: 'What this server may spend is nearly used up. A direct connection still works, from the same network for example; or try again tomorrow.',
    };
  }
  if (code === 'relay_short') {
    return {
      title: 'This is too much for the relay.',
      text: 'The server limits how much goes through its relay, and no direct path was found. Meet in the same network, where it goes directly; or send less.',
    };
  }
  if (code !== 'relay_spent') return undefined;
  return {
    title: 'What may be relayed is used up.',
    text: 'The server limits how much goes through its relay. Directly, from the same network for example, it goes on; or try again tomorrow.',
  };
}

/** At four fifths, beside what is going on. */
export const nearlySpent: Problem = {
  title: 'Most of what may be relayed is used up.',
  text: 'The server limits how much goes through its relay. If it runs out, this transfer stops; on a direct path, in the same network for example, it would not.',
};

export function listenForErrors(): void {
  addEventListener('error', (event) => {
    // Failed resources have no error, and ResizeObserver's warning is none.
    if (event.error) problems.report(event.error);
  });
  addEventListener('unhandledrejection', (event) => problems.report(event.reason));
}
