/** What both pages do with the browser around them: connections, wake lock, the question before leaving. */
import { IceServers } from '../lib/api';
import { findRegions, type Place } from '../lib/place';

/** The page's query parameters; they stay in its address. */
export const query = new URLSearchParams(location.search);

/** The regions that there are; asked for at once, so that they are known when they are needed. */
export const regions = findRegions();

/** Makes connections with fresh ICE servers. `relay=only` forbids the direct path. */
export function connector(grant: string, place: Place): () => Promise<RTCPeerConnection> {
  const servers = new IceServers(grant, () => place.base);
  const relayOnly = query.get('relay') === 'only';
  return async () => new RTCPeerConnection({ iceServers: await servers.get(), iceTransportPolicy: relayOnly ? 'relay' : 'all' });
}

/** While something runs: the screen stays on, and leaving the page asks first. */
export class Guard {
  #on = false;
  #lock: WakeLockSentinel | undefined;

  constructor() {
    // The browser drops the lock of a hidden page.
    document.addEventListener('visibilitychange', () => {
      if (this.#on && !document.hidden) void this.#acquire();
    });
  }

  set(on: boolean): void {
    if (on === this.#on) return;
    this.#on = on;
    if (on) {
      addEventListener('beforeunload', this.#ask);
      void this.#acquire();
    } else {
      removeEventListener('beforeunload', this.#ask);
      void this.#lock?.release();
      this.#lock = undefined;
    }
  }

  async #acquire(): Promise<void> {
    // Not on plain http, and refused on low battery: the transfer works without.
    this.#lock = await navigator.wakeLock?.request('screen').catch(() => undefined);
  }

  readonly #ask = (event: BeforeUnloadEvent): void => event.preventDefault();
}

/** Calls `leave` when the page goes, and `online` when the network is said to be back. */
export function onPage(leave: () => void, online: () => void): void {
  addEventListener('pagehide', leave);
  addEventListener('online', online);
  // A page from the cache of the back button has lost its connections.
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
}

/** `region=NAME` in the address asks for relays there, where there is a choice. */
export function preferredRegion(): string | undefined {
  return new URLSearchParams(location.search).get('region')?.slice(0, 32);
}
