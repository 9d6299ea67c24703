/**
 * What a page tells the server about its session: once, and in words from closed lists (docs/privacy.md). It is told when it is
 * known for good, a minute after a failure that nothing has mended, or when the page goes.
 */
import type { Path } from './path';
import type { Ending } from './transfer';

export type Outcome = 'worked' | 'no_signaling' | 'no_path' | 'unverified' | 'alone' | 'host';

export interface Report {
  outcome: Outcome;
  path?: Path;
  /** The bucket of the seconds until the path was up. */
  seconds?: string;
  /** `none`, `offered`, `done`, or how it failed. */
  transfer?: string;
  /** Of a transfer that is done: the power of two that its bytes are within. */
  size?: number;
}

/** Before that, nothing can be said about what did not come. */
export const patienceMs = 15_000;
export const settleMs = 60_000;

export function secondsBucket(ms: number): string {
  const bound = [1, 2, 5, 10, 30].find((seconds) => ms <= seconds * 1000);
  return bound === undefined ? 'more' : String(bound);
}

/** The least n with bytes ≤ 2ⁿ, at most what the server takes. */
export function sizePower(bytes: number): number {
  return Math.min(bytes <= 1 ? 0 : Math.ceil(Math.log2(bytes)), 44);
}

abstract class Reporter {
  #sent = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #since = performance.now();

  constructor(private readonly send: (report: Report) => void) {}

  /** The page goes: what is known now is all that will be. */
  leave(): void {
    this.#tell();
  }

  protected abstract current(): Report | undefined;

  /** The report will not change any more, so it is sent; or it may, so it waits. */
  protected settle(final: boolean): void {
    clearTimeout(this.#timer);
    if (this.#sent) return;
    if (final) this.#tell();
    else this.#timer = setTimeout(() => this.#tell(), settleMs);
  }

  /** Something stopped being a reason to report soon. */
  protected unsettle(): void {
    clearTimeout(this.#timer);
  }

  protected get age(): number {
    return performance.now() - this.#since;
  }

  #tell(): void {
    clearTimeout(this.#timer);
    const report = this.#sent ? undefined : this.current();
    if (!report) return;
    this.#sent = true;
    this.send(report);
  }
}

/** What a page sees of its way to another. */
export interface PathView {
  online: boolean;
  /** Somebody to connect to is there. */
  met: boolean;
  linked: boolean;
  path: Path | undefined;
  trouble: 'no_path' | 'unverified' | undefined;
}

/** Reports how signaling and a path came up. */
abstract class PathReporter<View extends PathView> extends Reporter {
  protected path: Path | undefined;
  #view: View | undefined;
  #online = false;
  #met = false;
  #metAt: number | undefined;
  #tookMs: number | undefined;
  #failing = false;

  see(view: View): void {
    this.#view = view;
    this.#online ||= view.online;
    this.path = view.path ?? this.path;
    this.#met ||= view.met;
    if (view.met) this.#metAt ??= performance.now();
    if (view.linked && this.#tookMs === undefined) this.#tookMs = performance.now() - (this.#metAt ?? performance.now());
    const failing = this.#tookMs === undefined ? view.trouble !== undefined : this.failed(view);
    const final = this.#tookMs !== undefined && this.path !== undefined && this.final(view);
    if (final) this.settle(true);
    else if (failing !== this.#failing) {
      if (failing) this.settle(false);
      else this.unsettle();
    }
    this.#failing = failing;
  }

  /** What came after the path failed. */
  protected abstract failed(view: View): boolean;
  /** Nothing is to come that would change the report. */
  protected abstract final(view: View): boolean;
  /** What became of the transfer. */
  protected abstract transfer(view: View): Pick<Report, 'transfer' | 'size'>;

  /** Whoever was met has gone; the next one's time begins when that one comes. */
  protected parted(): void {
    this.#metAt = undefined;
  }

  protected current(): Report | undefined {
    const view = this.#view;
    if (this.#tookMs !== undefined) {
      if (!this.path) return undefined; // it went before that was known
      return { outcome: 'worked', path: this.path, seconds: secondsBucket(this.#tookMs), ...this.transfer(view!) };
    }
    if (view?.trouble) return { outcome: view.trouble };
    if (this.age < patienceMs) return undefined;
    if (!this.#online) return { outcome: 'no_signaling' };
    if (!this.#met) return { outcome: 'alone' };
    return this.#metAt === undefined || performance.now() - this.#metAt < patienceMs ? undefined : { outcome: 'no_path' };
  }
}

/** What a receiver's page sees of its session. */
export interface GuestView extends PathView {
  /** The list of files is there. */
  offered: boolean;
  done: boolean;
  ending: Ending | undefined;
  full: boolean;
  bytes: number;
}

/** A receiver's page: the path to the sender, and the transfer. */
export class GuestReporter extends PathReporter<GuestView> {
  #offered = false;

  override see(view: GuestView): void {
    this.#offered ||= view.offered;
    super.see(view);
  }

  protected failed({ done, ending, full }: GuestView): boolean {
    return !done && (ending !== undefined || full);
  }

  protected final({ done }: GuestView): boolean {
    return done;
  }

  protected transfer({ done, ending, full, bytes }: GuestView): Pick<Report, 'transfer' | 'size'> {
    if (done) return { transfer: 'done', size: sizePower(bytes) };
    return { transfer: ending?.cause ?? (full ? 'full' : this.#offered ? 'offered' : 'none') };
  }
}

/** A member of a room: the path to the first other member that it came to; files are not reported. */
export class MemberReporter extends PathReporter<PathView> {
  override see(view: PathView): void {
    if (!view.met) this.parted();
    super.see(view);
  }

  protected failed(): boolean {
    return false;
  }

  protected final(): boolean {
    return true;
  }

  protected transfer(): Pick<Report, 'transfer'> {
    return { transfer: 'none' };
  }
}

/** A sender's page reports its own signaling only; the rest is its receivers' to report. */
export class HostReporter extends Reporter {
  #online = false;

  constructor(send: (report: Report) => void) {
    super(send);
    this.settle(false);
  }

  see(online: boolean): void {
    if (this.#online || !online) return;
    this.#online = true;
    this.settle(true);
  }

  protected current(): Report | undefined {
    if (this.#online) return { outcome: 'host' };
    return this.age < patienceMs ? undefined : { outcome: 'no_signaling' };
  }
}
