/**
 * A link: one RTCPeerConnection between host and guest, from the first description to a verified pair of channels
 * (docs/protocol.md §3 and §4). Perfect negotiation; the host is impolite. One link, one connection: a new attempt is a new
 * link with a higher number, so that descriptions of two attempts are never mixed.
 *
 *   connecting ─ the channels are open ─▶ verifying ─ the peer's MAC is right ─▶ ready ─▶ closed
 */
import { bindKey, bindMac, fingerprints, verifyMac, type Role, type Transcript } from './binding';
import { LazyRelay } from './lazy-relay';
import { connectionPath, type Path } from './path';
import { parseControl, protocolVersion, type ControlMessage } from './protocol';
import type { LinkReason, SignalData } from './signaling';
import type { DataPort, Wire } from './transfer';
import type { Bytes } from './bytes';

export type LinkPhase = 'connecting' | 'verifying' | 'ready' | 'closed';

/** `unreachable`: no path was found; `gone`: this side has closed it. */
export type LinkEnd = 'unreachable' | 'unverified' | 'lost' | 'gone';

export interface LinkHandler {
  /** The phase has changed, or the connection was interrupted or restored. */
  changed(): void;
  control(message: ControlMessage | undefined): void;
  data(message: unknown): void;
}

export interface LinkOptions {
  role: Role;
  number: number;
  session: string;
  secret: Bytes;
  hostPeer: string;
  guestPeer: string;
  connection: RTCPeerConnection;
  signal(data: SignalData): void;
  /** Asks the server for the use of a relay; onRelay brings it. */
  relay(): void;
  /** What onRelay has brought for an earlier link with this peer. */
  relays: RTCIceServer[] | undefined;
  /** The path is lost: signaling may be as dead without having noticed, and without it there is no other path. */
  interrupted(): void;
}

export const connectTimeoutMs = 30_000;
export const bindTimeoutMs = 15_000;
/** Time for a network to come back, for signaling to notice, and for two restarts. */
export const interruptedTimeoutMs = 60_000;
const restartAfterMs = 3000;
const restartAgainMs = 5000;
const flushMs = 1000;
const lowMark = 256 << 10;
const candidatesAtMost = 256;
const unreadAtMost = 16;
const earlyAtMost = 64;

/** How a link ends whose channels the browser closes. */
const onClosing: Record<LinkPhase, LinkEnd> = { connecting: 'unreachable', verifying: 'unverified', ready: 'lost', closed: 'lost' };

export class Link implements Wire {
  phase: LinkPhase = 'connecting';
  end: LinkEnd | undefined;
  /** Unverified as what the other side says of itself is wrong, and not as nothing came. */
  forged = false;
  /** The network has gone quiet; a restart of ICE is under way. */
  interrupted = false;
  readonly number: number;
  readonly data: DataPort;

  readonly #pc: RTCPeerConnection;
  readonly #control: RTCDataChannel;
  readonly #data: RTCDataChannel;
  readonly #key: Bytes;
  readonly #relay: LazyRelay;
  #handler: LinkHandler;
  #making = false;
  #newestDescription = 0;
  #remoteFingerprints: string | undefined;
  #early: RTCIceCandidateInit[] = [];
  #unread: unknown[] = [];
  #waitingData: unknown[] = [];
  #work: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #drained: () => void = () => {};

  constructor(
    private readonly options: LinkOptions,
    handler: LinkHandler,
  ) {
    this.number = options.number;
    this.#handler = handler;
    this.#key = bindKey(options.secret, options.session);
    this.#pc = options.connection;
    this.#control = this.#pc.createDataChannel('control', { negotiated: true, id: 0 });
    this.#data = this.#pc.createDataChannel('data', { negotiated: true, id: 1 });
    this.data = this.#makePort();
    this.#relay = new LazyRelay(this.#pc, options.role, () => options.relay(), options.relays);
    this.#listen();
    this.#expire(connectTimeoutMs, 'unreachable');
  }

  /** The path of the pair in use; it may change while the link lives. */
  path(): Promise<Path | undefined> {
    return this.phase === 'closed' ? Promise.resolve(undefined) : connectionPath(this.#pc);
  }

  control(message: ControlMessage): void {
    if (this.#control.readyState === 'open') this.#control.send(JSON.stringify(message));
  }

  /** A description or candidate of the peer; n is the number of the signal that brought it. */
  onSignal(n: number, data: SignalData): void {
    this.#then(async () => {
      if (data.type === 'description') await this.#onDescription(n, data.description);
      if (data.type === 'candidate' && data.candidate) await this.#onCandidate(data.candidate);
    });
  }

  /** The server lets this pair use a relay. */
  onRelay(servers: RTCIceServer[]): void {
    if (this.phase !== 'closed') this.#relay.use(servers);
  }

  /** The relay goes away: on to another, unless the path needs none. Where it drains, the old path carries on meanwhile. */
  onRestart(servers: RTCIceServer[]): void {
    this.#then(async () => this.#relay.use(servers, (await this.path()) !== 'direct'));
  }

  /** Signaling is up again, and what was said meanwhile was lost. */
  signalingBack(): void {
    if (this.phase === 'ready' && (this.interrupted || this.#unanswered)) this.#restartSoon(0);
  }

  /** Closes without telling; `end` is what the page will say. `now`: the page goes, there is no time to flush. */
  close(end: LinkEnd = 'gone', now = false): void {
    if (this.phase === 'closed') return;
    const verifying = this.phase === 'verifying';
    this.#enter('closed', end);
    clearTimeout(this.#timer);
    clearTimeout(this.#restart);
    this.#relay.enough();
    this.#drained();
    // What was just sent (a MAC, a cancel, the last confirmation) gets a moment to leave.
    if (!now && (verifying || this.#control.bufferedAmount > 0 || end === 'gone')) setTimeout(() => this.#pc.close(), flushMs);
    else this.#pc.close();
  }

  /** The peer has closed its end, and said so by signaling. */
  ended(reason: LinkReason): void {
    this.close(reason === 'lost' && this.phase === 'connecting' ? 'unreachable' : reason);
  }

  #makePort(): DataPort {
    const channel = this.#data;
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = lowMark;
    channel.onbufferedamountlow = () => this.#drained();
    return {
      get bufferedAmount() {
        return channel.bufferedAmount;
      },
      send: (bytes) => {
        if (channel.readyState === 'open') channel.send(bytes);
      },
      drained: () => {
        if (this.phase === 'closed' || channel.bufferedAmount <= lowMark) return Promise.resolve();
        return new Promise((resolve) => {
          this.#drained = resolve;
        });
      },
    };
  }

  #listen(): void {
    const { signal, number } = this.options;
    this.#pc.onnegotiationneeded = () => this.#then(() => this.#offer());
    this.#pc.onicecandidate = ({ candidate }) => signal({ type: 'candidate', link: number, candidate: candidate?.toJSON() ?? null });
    this.#pc.onconnectionstatechange = () => this.#onState();
    // The browser may open the channels before it has told that the descriptions are set.
    this.#control.onopen = () => this.#then(async () => this.#onOpen());
    this.#control.onclose = this.#data.onclose = () => this.close(onClosing[this.phase]);
    this.#control.onmessage = ({ data }) => this.#onControl(data);
    this.#data.onmessage = ({ data }) => this.#onData(data);
  }

  /** One after another, since perfect negotiation looks at states between awaits. */
  #then(work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.phase === 'closed') return;
      try {
        await work();
      } catch {
        // A description that the browser can't use: there will be no connection from it.
        this.close(this.phase === 'ready' ? 'lost' : 'unreachable');
      }
    });
  }

  async #offer(): Promise<void> {
    if (this.options.role === 'guest' && !this.#pc.remoteDescription) return; // the host's offer has both channels
    this.#making = true;
    try {
      await this.#relay.ready;
      await this.#pc.setLocalDescription();
      this.#signalDescription();
    } finally {
      this.#making = false;
    }
  }

  async #onDescription(n: number, description: RTCSessionDescriptionInit): Promise<void> {
    const stable = this.#pc.signalingState === 'stable';
    const offer = description.type === 'offer';
    if (n < this.#newestDescription || (!offer && this.#pc.signalingState !== 'have-local-offer')) return;
    if (offer && (this.#making || !stable) && this.options.role === 'host') return; // impolite
    const prints = fingerprints(description.sdp ?? '');
    this.#remoteFingerprints ??= prints;
    if (prints === '' || prints !== this.#remoteFingerprints) return this.#forgery();
    this.#newestDescription = n;
    await this.#pc.setRemoteDescription(description);
    if (offer) {
      await this.#relay.ready;
      await this.#pc.setLocalDescription();
      this.#signalDescription();
    }
    if (this.phase === 'connecting') this.#relay.want();
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#onCandidate(candidate);
  }

  async #onCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    const remote = this.#pc.remoteDescription?.sdp;
    const fragment = candidate.usernameFragment;
    if (remote === undefined || (fragment && !remote.includes(`a=ice-ufrag:${fragment}`))) {
      // Its description is still on the way.
      if (this.#early.length < candidatesAtMost) this.#early.push(candidate);
      return;
    }
    // One bad candidate doesn't spoil the others.
    await this.#pc.addIceCandidate(candidate).catch(() => {});
  }

  #signalDescription(): void {
    const { type, sdp } = this.#pc.localDescription!;
    this.options.signal({ type: 'description', link: this.number, description: { type, sdp } });
  }

  #onState(): void {
    const state = this.#pc.connectionState;
    if (this.phase === 'ready') return this.#onReadyState(state);
    if (state !== 'failed') return;
    const ice = this.#pc.iceConnectionState;
    // ICE found a path, but the peer at its end has another certificate than the description says.
    const dtls = ice === 'connected' || ice === 'completed' || (ice !== 'failed' && this.#pc.sctp?.transport.state === 'failed');
    if (dtls) this.#forgery();
    else if (this.phase === 'verifying') this.close('unverified');
    // Browsers fail as soon as all they know has failed; a relay may be on its way, and ICE is restarted with it.
    else this.#relay.want(0);
  }

  #onReadyState(state: RTCPeerConnectionState): void {
    if (state === 'connected' && this.interrupted) {
      clearTimeout(this.#timer);
      clearTimeout(this.#restart);
      this.#relay.enough();
      this.interrupted = false;
      // A browser may find that the old path works again, or a part of the new one, which the other knows nothing of.
      if (this.#unanswered) this.#restartSoon(restartAgainMs);
      this.#handler.changed();
    } else if ((state === 'disconnected' || state === 'failed') && !this.interrupted) {
      this.interrupted = true;
      this.#expire(interruptedTimeoutMs, 'lost');
      this.#restartSoon(state === 'failed' ? 0 : restartAfterMs);
      this.#handler.changed();
    } else if (state === 'failed') {
      this.#restartSoon(restartAfterMs); // nothing is under way any more
    }
  }

  /** What an offer says is not known to the other, or not what it answered. */
  get #unanswered(): boolean {
    return this.#pc.signalingState === 'have-local-offer';
  }

  /**
   * Restarts ICE again and again until there is a path, as signaling may have lost what the last try said. What is under way
   * gets more time at each try, or a slow network would never have enough. The guest leaves it to the host at first, which
   * may have a path that works in its own eyes.
   */
  #restartSoon(afterMs: number, againMs = restartAgainMs): void {
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => {
      const unanswered = this.#unanswered;
      if (!this.interrupted && !unanswered) return;
      this.options.interrupted();
      if (this.interrupted) this.#relay.want();
      // An offer that was not answered is made known again, with the candidates found since.
      if (unanswered) this.#signalDescription();
      else if (this.options.role === 'host' || againMs > restartAgainMs) this.#pc.restartIce();
      this.#restartSoon(unanswered ? restartAgainMs : againMs, unanswered ? againMs : 2 * againMs);
    }, afterMs);
  }

  #transcript(): Transcript {
    const { role, session, hostPeer, guestPeer } = this.options;
    const own = fingerprints(this.#pc.localDescription?.sdp ?? '');
    const theirs = fingerprints(this.#pc.remoteDescription?.sdp ?? '');
    const host = role === 'host';
    return { session, hostPeer, guestPeer, hostFingerprints: host ? own : theirs, guestFingerprints: host ? theirs : own };
  }

  #onOpen(): void {
    if (this.phase !== 'connecting') return;
    this.#relay.enough();
    this.#expire(bindTimeoutMs, 'unverified');
    this.#enter('verifying');
    this.control({ type: 'bind', version: protocolVersion, mac: bindMac(this.#key, this.options.role, this.#transcript()) });
  }

  #onControl(data: unknown): void {
    if (this.phase === 'ready') return this.#handler.control(parseControl(data));
    if (this.#unread.push(data) > unreadAtMost) return this.close('unverified');
    this.#then(async () => this.#readEarly());
  }

  /** What came before the peer was verified, in order: its MAC, and perhaps what it sent right after. */
  #readEarly(): void {
    for (const data of this.#unread.splice(0)) {
      const message = parseControl(data);
      if (this.phase === 'ready') this.#handler.control(message);
      else if (this.phase === 'verifying') this.#verify(message);
    }
    if (this.phase === 'ready') for (const data of this.#waitingData.splice(0)) this.#onData(data);
  }

  /** Channels know no order among them: what the peer sends once it is ready may overtake its MAC, and waits for that. */
  #onData(data: unknown): void {
    if (this.phase === 'ready') this.#handler.data(data);
    else if (this.phase !== 'closed' && this.#waitingData.push(data) > earlyAtMost) this.close('unverified');
  }

  #verify(message: ControlMessage | undefined): void {
    const peer: Role = this.options.role === 'host' ? 'guest' : 'host';
    const right = message?.type === 'bind' && message.version === protocolVersion && verifyMac(this.#key, peer, this.#transcript(), message.mac);
    if (!right) return this.#forgery();
    clearTimeout(this.#timer);
    this.#enter('ready');
  }

  #forgery(): void {
    this.forged = true;
    this.close('unverified');
  }

  #expire(ms: number, end: LinkEnd): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(end), ms);
  }

  #enter(phase: LinkPhase, end?: LinkEnd): void {
    this.phase = phase;
    this.end = end;
    this.#handler.changed();
  }
}
