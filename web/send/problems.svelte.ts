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
      return { title: 'Too many tries in a short time.', text: 'Wait a minute, then try again.' };
    case 'unknown_link':
      return {
        title: 'This link is not known here.',
        text: 'Check that you copied all of it, or ask the sender for a new one. If the server was set up anew, older links are gone.',
      };
    case 'expired_link':
    case 'bad_grant':
      return { title: 'This link has expired.', text: 'Ask the sender for a new one.' };
    default:
      return { title: 'The server could not do this.', text: `It said: ${error.message}. Try again, or tell whoever runs it.` };
  }
}

/** Why there is no relay, if that is worth a word: the page says itself that no path was found, or asks again. */
export function relayProblem(code: string): Problem | undefined {
  if (code !== 'relay_spent') return undefined;
  return {
    title: 'What may be relayed is used up.',
    text: 'The server limits how much goes through its relay. Directly, from the same network for example, it goes on; or try again tomorrow.',
  };
}

export function listenForErrors(): void {
  addEventListener('error', (event) => {
    // Failed resources have no error, and ResizeObserver's warning is none.
    if (event.error) problems.report(event.error);
  });
  addEventListener('unhandledrejection', (event) => problems.report(event.reason));
}
