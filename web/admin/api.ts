/** The requests of /api/admin, package admin. */

export interface Account {
  name: string;
  cap: number;
  left: number;
  spent: number;
  leased: number;
  moneyCap: number;
  money: number;
}

export interface Session {
  id: string;
  members: number;
  connections: number;
  pairs: number;
  relayed: number;
  cap: number;
}

export interface Block {
  prefix: string;
  until: string | null;
}

export interface Overview {
  version: string;
  started: number;
  numbers: { name: string; value: number }[];
  refusals: { part: string; reason: string; count: number }[] | null;
  budgets: Account[] | null;
  sessions: Session[] | null;
  hidden: number;
  blocks: Block[] | null;
}

/** What the server said, in words for people. `status` 0: it did not answer. */
export class AdminError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Calls the server under the operator's token, which stays in this tab. */
export class Admin {
  constructor(private readonly token: string) {}

  overview(): Promise<Overview> {
    return this.#call('GET', '/api/admin') as Promise<Overview>;
  }

  block(prefix: string, hours: number): Promise<unknown> {
    return this.#call('POST', '/api/admin/blocks', { prefix, hours });
  }

  unblock(prefix: string): Promise<unknown> {
    return this.#call('DELETE', '/api/admin/blocks', { prefix });
  }

  end(session: string): Promise<unknown> {
    return this.#call('POST', '/api/admin/end', { session });
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    let response: Response;
    try {
      response = await fetch(path, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, ...(body && { 'Content-Type': 'application/json' }) },
        body: body && JSON.stringify(body),
      });
    } catch {
      throw new AdminError('The server does not answer.', 0);
    }
    const answer: unknown = await response.json().catch(() => undefined);
    if (response.ok && answer !== undefined) return answer;
    const { code, message } = (answer ?? {}) as { code?: string; message?: string };
    if (response.status === 404 && (code === 'unknown_request' || code === undefined)) {
      throw new AdminError('This server has no operator’s page. Start it with --admin-token.', 404);
    }
    throw new AdminError(message ?? `The server answered with status ${response.status}.`, response.status);
  }
}
