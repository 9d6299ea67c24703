/** RTCPeerConnections in memory: they exchange descriptions with fingerprints, and join when both have both. */

type Listener = ((event: never) => void) | null;

/** All connections of one test; pairs find each other by what their descriptions say. */
export class Network {
  readonly connections: FakeConnection[] = [];
  /** No pair gets through while it is set. */
  blocked = false;
  /** Connections are made for relayed paths only. */
  relayOnly = false;
  /** How long a message is on its way in a channel. */
  latencyMs = 1;
  /** By how much the control channel's are later, of those sent by the connection with this number. */
  controlLate = { by: -1, ms: 0 };

  create = (): RTCPeerConnection => {
    const connection = new FakeConnection(this, this.connections.length);
    if (this.relayOnly) connection.configuration.iceTransportPolicy = 'relay';
    this.connections.push(connection);
    return connection as unknown as RTCPeerConnection;
  };

  get open(): number {
    return this.connections.filter((one) => !one.closed).length;
  }
}

const later = (work: () => void, ms = 1): void => void setTimeout(work, ms);

class FakeChannel {
  readyState: RTCDataChannelState = 'connecting';
  binaryType = 'blob';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  onopen: Listener = null;
  onclose: Listener = null;
  onmessage: Listener = null;
  onbufferedamountlow: Listener = null;
  peer: FakeChannel | undefined;

  constructor(
    private readonly network: Network,
    /** The connection's number if this is its control channel. */
    private readonly control: number | undefined,
  ) {}

  send(data: string | Uint8Array): void {
    if (this.readyState !== 'open') throw new Error('InvalidStateError');
    const copy = typeof data === 'string' ? data : data.slice().buffer;
    this.bufferedAmount += typeof data === 'string' ? data.length : data.length;
    later(() => {
      this.bufferedAmount = Math.max(0, this.bufferedAmount - (typeof data === 'string' ? data.length : data.length));
      if (this.peer?.readyState === 'open') this.peer.onmessage?.({ data: copy } as never);
      if (this.bufferedAmount <= this.bufferedAmountLowThreshold) this.onbufferedamountlow?.({} as never);
    }, this.network.latencyMs + (this.control === this.network.controlLate.by ? this.network.controlLate.ms : 0));
  }

  close(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    later(() => this.onclose?.({} as never));
  }
}

export class FakeConnection {
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  iceConnectionState: RTCIceConnectionState = 'new';
  localDescription: RTCSessionDescriptionInit | null = null;
  remoteDescription: RTCSessionDescriptionInit | null = null;
  sctp = null;
  onnegotiationneeded: Listener = null;
  onicecandidate: Listener = null;
  onconnectionstatechange: Listener = null;
  channels: FakeChannel[] = [];
  added: string[] = [];
  closed = false;
  restarts = 0;
  configuration: RTCConfiguration = { iceServers: [{ urls: 'stun:here' }] };
  #generation = 0;
  #needed = false;
  #remote: RTCSessionDescriptionInit | undefined;

  constructor(
    private readonly network: Network,
    readonly id: number,
  ) {}

  createDataChannel(): FakeChannel {
    const channel = new FakeChannel(this.network, this.channels.length === 0 ? this.id : undefined);
    this.channels.push(channel);
    if (this.channels.length === 1) later(() => this.signalingState === 'stable' && !this.remoteDescription && this.onnegotiationneeded?.({} as never));
    return channel;
  }

  get fingerprint(): string {
    return `sha-256 ${this.id.toString(16).padStart(2, '0').toUpperCase()}:AB`;
  }

  async setLocalDescription(): Promise<void> {
    const type = this.signalingState === 'have-remote-offer' ? 'answer' : 'offer';
    const fragment = `u${this.id}g${this.#generation}`;
    this.localDescription = { type, sdp: `v=0\r\na=ice-ufrag:${fragment}\r\na=fingerprint:${this.fingerprint}\r\na=id:${this.id}\r\n` };
    this.signalingState = type === 'offer' ? 'have-local-offer' : 'stable';
    const candidate = { candidate: `candidate:${this.id}`, usernameFragment: fragment };
    later(() => this.onicecandidate?.({ candidate: { toJSON: () => candidate } } as never));
    this.#join();
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    if (!description.sdp?.startsWith('v=0')) throw new Error('OperationError');
    this.#remote = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
    this.#join();
    // As in browsers under load: the channels may be open before the description is to be seen.
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.remoteDescription = description;
    if (this.#needed) this.#negotiate();
  }

  async addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    this.added.push(candidate.candidate!);
  }

  getConfiguration(): RTCConfiguration {
    return this.configuration;
  }

  setConfiguration(configuration: RTCConfiguration): void {
    this.configuration = configuration;
  }

  async getStats(): Promise<Map<string, unknown>> {
    return new Map();
  }

  restartIce(): void {
    this.restarts++;
    this.#generation++;
    this.#negotiate();
  }

  /** Is asked for in the stable state only. */
  #negotiate(): void {
    this.#needed = this.signalingState !== 'stable';
    if (!this.#needed) later(() => this.onnegotiationneeded?.({} as never));
  }

  /** What the network does to this end. */
  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.({} as never);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.connectionState = 'closed';
    for (const channel of this.channels) {
      channel.close();
      channel.peer?.close();
    }
  }

  #join(): void {
    if (this.network.blocked || this.signalingState !== 'stable' || this.connectionState !== 'new') return;
    const id = /a=id:(\d+)/.exec(this.#remote?.sdp ?? '')?.[1];
    const other = this.network.connections[Number(id)];
    if (!other || other.signalingState !== 'stable' || !other.localDescription) return;
    for (const one of [this, other]) {
      one.iceConnectionState = 'connected';
      one.become('connected');
    }
    this.channels.forEach((channel, i) => {
      const peer = other.channels[i]!;
      channel.peer = peer;
      peer.peer = channel;
      for (const end of [channel, peer]) {
        end.readyState = 'open';
        later(() => end.onopen?.({} as never));
      }
    });
  }
}
