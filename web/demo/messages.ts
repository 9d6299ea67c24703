/** What the example chat's hub sends, as far as it is what it should be. */

export interface Message {
  ConnectionId: string;
  UserId: string;
  Text: string;
}

export interface Statistics {
  Messages: number;
  MessagesToday: number;
}

const has = (value: unknown, type: string, ...names: string[]): boolean =>
  typeof value === 'object' && value !== null && names.every((name) => typeof (value as Record<string, unknown>)[name] === type);

export function isMessage(value: unknown): value is Message {
  return has(value, 'string', 'ConnectionId', 'UserId', 'Text');
}

export function isStatistics(value: unknown): value is Statistics {
  return has(value, 'number', 'Messages', 'MessagesToday');
}

/** How many messages the page keeps. */
export const keptAtMost = 500;

export function kept(messages: Message[], next: Message): Message[] {
  return [...messages.slice(1 - keptAtMost), next];
}
