/**
 * The guest's session: finds the host, keeps one link to it, and runs the transfer over it (docs/protocol.md §3).
 *
 *   waiting ⇄ away ─ here ─▶ connecting ─ verifying ─▶ linked ─▶ ended
 *
 * A link that is lost before the transfer has begun is made again without a word; one that fails to verify never is.
 */
import type { Bytes } from './bytes';
import type { Sha256 } from './crypto';
import { Link } from './link';
import { isReason } from './protocol';
import { Receiving } from './receiving';
import type { PeerRole, SignalData, Signaling } from './signaling';
import type { Sink } from './sink';

/**
 * `waiting`: said hello, no answer yet; `away`: none came; `busy`: the host has too many guests; `linked`: the phase of
 * `receiving` says more; `unverified`, `ended`: final, until `retry` in the second case.
 */
export type GuestStage = 'waiting' | 'away' | 'busy' | 'connecting' | 'verifying' | 'linked' | 'unverified' | 'ended';

export interface GuestOptions {
  session: string;
  peer: string;
  secret: Bytes;
  sha256: Sha256;
  signaling: Signaling;
  connect(): Promise<RTCPeerConnection>;
  changed(): void;
  failed(error: unknown): void;
}

export const answerTimeoutMs = 5000;
export const helloEveryMs = 15_000;
const heldAtMost = 64;

type LinkSignal = Extract<SignalData, { type: 'description' | 'candidate' }>;

export class GuestSession {
  stage: GuestStage = 'waiting';
  link: Link | undefined;
  receiving: Receiving | undefined;
  /** The last attempt found no path or was lost before the transfer; the next is under way. */
  setback: 'unreachable' | 'lost' | undefined;
  #newest = 0;
  /** Signals for a link whose first description is still to come. */
  #held: { n: number; data: LinkSignal }[] = [];
  #work: Promise<void> = Promise.resolve();
  #answer: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #host: string | undefined;
  /** What the server gave last; it may come before the offer of its link. */
  #relays: RTCIceServer[] | undefined;

  constructor(private readonly options: GuestOptions) {}

  connected(): void {
    if (this.stage !== 'ended' && this.stage !== 'unverified') this.#hello();
    this.link?.signalingBack();
  }

  /** A host that came (back) says hello. */
  hello(_from: string, role: PeerRole): void {
    if (role === 'host' && this.#looking) this.#hello();
  }

  signal(from: string, role: PeerRole, n: number, data: SignalData): void {
    if (role !== 'host' || this.stage === 'ended' || this.stage === 'unverified') return;
    clearTimeout(this.#answer);
    switch (data.type) {
      case 'here':
        if (this.#looking) this.#enter('connecting');
        return;
      case 'busy':
        if (this.#looking) this.#enter('busy');
        return;
      case 'cancel':
        return this.#cancelled(data);
      default:
        this.#work = this.#work.then(() => this.#onLinkSignal(from, n, data)).catch((error: unknown) => this.options.failed(error));
    }
  }

  relay(_from: string, number: number, servers: RTCIceServer[]): void {
    this.#relays = servers;
    if (this.link?.number === number) this.link.onRelay(servers);
  }

  restart(_from: string, servers: RTCIceServer[]): void {
    this.#relays = servers;
    this.link?.onRestart(servers);
  }

  left(_from: string, role: PeerRole): void {
    // The data channel knows better, if there is one.
    if (role === 'host' && this.#looking) this.#enter('away');
  }

  accept(sink: Sink): void {
    if (this.receiving) this.receiving.accept(sink);
    else void sink.abort();
  }

  cancel(): void {
    this.receiving?.cancel();
  }

  /** After the end of a transfer: meet again for another try. */
  retry(): void {
    if (this.stage !== 'ended') return;
    this.receiving = undefined;
    this.#enter('waiting');
    this.#hello();
  }

  /** The page goes: the host needn't wait for a time-out. */
  close(): void {
    clearTimeout(this.#answer);
    clearTimeout(this.#again);
    this.stage = 'ended';
    if (!this.link) return;
    this.#tell(this.link, 'lost');
    this.link.close('gone', true);
  }

  get #looking(): boolean {
    return !this.link && (this.stage === 'waiting' || this.stage === 'away' || this.stage === 'busy' || this.stage === 'connecting');
  }

  #hello(): void {
    this.options.signaling.hello();
    clearTimeout(this.#again);
    if (!this.#looking) return;
    this.#again = setTimeout(() => {
      if (this.#looking) this.#hello();
    }, helloEveryMs);
    clearTimeout(this.#answer);
    this.#answer = setTimeout(() => {
      if (this.#looking) this.#enter('away');
    }, answerTimeoutMs);
  }

  async #onLinkSignal(from: string, n: number, data: LinkSignal): Promise<void> {
    if (data.link < this.#newest) return;
    if (data.link > this.#newest) {
      if (this.receiving?.phase === 'running' || this.receiving?.phase === 'closing') return; // a running transfer decides for itself
      if (data.type !== 'description' || data.description.type !== 'offer') {
        if (this.#held.length < heldAtMost) this.#held.push({ n, data });
        return;
      }
      await this.#connect(from, data.link);
    }
    this.link?.onSignal(n, data);
    const held = this.#held;
    this.#held = [];
    for (const one of held) {
      if (one.data.link === this.#newest) this.link?.onSignal(one.n, one.data);
      else if (one.data.link > this.#newest) this.#held.push(one);
    }
  }

  async #connect(host: string, number: number): Promise<void> {
    const { session, peer, secret, signaling } = this.options;
    const old = this.link;
    this.link = undefined; // so that its end is not taken for this one's
    old?.close();
    this.#newest = number;
    this.#host = host;
    this.#enter('connecting');
    const connection = await this.options.connect();
    const link: Link = new Link(
      {
        role: 'guest',
        number,
        session,
        secret,
        hostPeer: host,
        guestPeer: peer,
        connection,
        signal: (data) => signaling.send(host, data),
        relay: () => signaling.relay(host, number),
        relays: this.#relays,
        interrupted: () => signaling.check(),
      },
      {
        changed: () => this.#linkChanged(link),
        control: (message) => this.receiving?.onControl(message),
        data: (message) => this.receiving?.onData(message),
      },
    );
    this.link = link;
  }

  #linkChanged(link: Link): void {
    if (this.link !== link) return;
    if (link.phase === 'verifying') this.#enter('verifying');
    if (link.phase === 'ready' && this.stage !== 'linked') {
      clearTimeout(this.#again);
      this.setback = undefined;
      this.receiving = new Receiving(link, this.options.sha256, () => this.#receivingChanged());
      this.#enter('linked');
    }
    if (link.phase === 'closed') this.#closed(link);
    else this.options.changed();
  }

  #closed(link: Link): void {
    this.link = undefined;
    if (link.end !== 'gone') this.#tell(link, link.end === 'unverified' ? 'unverified' : 'lost');
    if (this.stage === 'ended') return this.options.changed();
    if (link.end === 'unverified') return this.#enter('unverified');
    const phase = this.receiving?.phase;
    this.receiving?.lost();
    if (phase === 'running' || phase === 'closing' || phase === 'done' || phase === 'ended') return this.#enter('ended');
    this.receiving = undefined;
    this.setback = link.end === 'unreachable' ? 'unreachable' : 'lost';
    this.#enter('waiting');
    this.#hello();
  }

  #receivingChanged(): void {
    const { receiving, link } = this;
    if (receiving?.phase === 'ended' || receiving?.phase === 'done') {
      const { ending } = receiving;
      const before = this.stage;
      this.stage = 'ended';
      if (before === 'linked' && link && ending?.by === 'me' && isReason(ending.cause)) this.#tell(link, ending.cause);
      if (before === 'linked' && ending?.cause !== 'lost') link?.close();
    }
    this.options.changed();
  }

  #cancelled(data: Extract<SignalData, { type: 'cancel' }>): void {
    const { link } = this;
    if (!link || data.link !== link.number) return;
    if (!isReason(data.reason)) return link.ended(data.reason);
    if (this.receiving) this.receiving.cancelled(data.reason);
    else link.close('lost');
  }

  #tell(link: Link, reason: Extract<SignalData, { type: 'cancel' }>['reason']): void {
    if (this.#host) this.options.signaling.send(this.#host, { type: 'cancel', link: link.number, reason });
  }

  #enter(stage: GuestStage): void {
    this.stage = stage;
    this.options.changed();
  }
}
