/**
 * Lazy TURN (docs/protocol.md §3): credentials for a relay are asked for only where no direct path comes by itself, and at
 * once where only a relay is allowed. So most pairs never have any. Both peers of a link get theirs together; new servers
 * take effect by a restart of ICE, which the host makes, and the guest if the host's doesn't come.
 *
 * Firefox gives a connection up for good when there is nothing to try. So where only a relay is allowed, the first
 * description waits for it.
 */
import type { Role } from './binding';
import { isRecord } from './protocol';

export const relayAfterMs = 1500;
/** Requests and answers may be lost. */
const askAgainMs = 6000;
const hostsRestartMs = 1000;
const readyWithinMs = 5000;
const serversAtMost = 16;

/** Decodes the ICE servers of an event; undefined if they are none. */
export function parseServers(value: unknown): RTCIceServer[] | undefined {
  if (!Array.isArray(value) || value.length > serversAtMost) return undefined;
  const servers: RTCIceServer[] = [];
  for (const one of value as unknown[]) {
    if (!isRecord(one) || !Array.isArray(one.urls) || !one.urls.every((url) => typeof url === 'string' && /^(stun|turn)s?:/.test(url))) return undefined;
    const { username, credential } = one;
    if ((username ?? '') !== '' && (typeof username !== 'string' || typeof credential !== 'string')) return undefined;
    const urls = one.urls as string[];
    servers.push(username ? { urls, username: username as string, credential: credential as string } : { urls });
  }
  return servers;
}

const fragment = (pc: RTCPeerConnection): string | undefined => /a=ice-ufrag:(\S+)/.exec(pc.remoteDescription?.sdp ?? '')?.[1];

export class LazyRelay {
  /** Resolves when the first description can be made. */
  readonly ready: Promise<void>;
  #begin: () => void = () => {};
  /** There is a path; what is given then is for the next restart of ICE. */
  #path = false;
  #waiting = false;
  #asked = false;
  #given = '';
  /** Those that need no credentials, and stay. */
  readonly #others: RTCIceServer[];
  #ask: ReturnType<typeof setTimeout> | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly role: Role,
    /** Asks the server, which answers by `use`. */
    private readonly ask: () => void,
    /** From an earlier link with the same peer. */
    servers?: RTCIceServer[],
  ) {
    this.#others = pc.getConfiguration().iceServers ?? [];
    if (servers) this.use(servers);
    this.ready = Promise.resolve();
    if (servers || pc.getConfiguration().iceTransportPolicy !== 'relay') return;
    this.ready = new Promise((resolve) => {
      this.#begin = resolve;
      setTimeout(resolve, readyWithinMs);
    });
    this.want(0);
  }

  /** Both descriptions are set and there is no path yet, or it was lost. */
  want(afterMs = relayAfterMs): void {
    this.#path = false;
    if (this.#waiting && (afterMs > 0 || this.#asked)) return;
    this.#waiting = true;
    this.#again(afterMs);
  }

  /** There is a path, or the link is closed. */
  enough(): void {
    this.#path = true;
    this.#waiting = this.#asked = false;
    clearTimeout(this.#ask);
    clearTimeout(this.#restart);
  }

  /** `now`: the path that there is won't last. */
  use(servers: RTCIceServer[], now = false): void {
    const given = JSON.stringify(servers);
    if (given === this.#given) return;
    this.#given = given;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: [...this.#others, ...servers] });
    this.#begin();
    if ((this.#path && !now) || !this.pc.localDescription) return;
    if (this.role === 'host') return this.pc.restartIce();
    const old = fragment(this.pc);
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => {
      if ((!this.#path || now) && old !== undefined && fragment(this.pc) === old) this.pc.restartIce();
    }, hostsRestartMs);
  }

  #again(afterMs: number): void {
    clearTimeout(this.#ask);
    this.#ask = setTimeout(() => {
      this.#asked = true;
      this.ask();
      this.#again(askAgainMs);
    }, afterMs);
  }
}
