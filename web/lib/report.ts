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

/** What a receiver's page sees of its session. */
export interface GuestView {
  online: boolean;
  /** The host has answered. */
  met: boolean;
  linked: boolean;
  path: Path | undefined;
  trouble: 'no_path' | 'unverified' | undefined;
  /** The list of files is there. */
  offered: boolean;
  done: boolean;
  ending: Ending | undefined;
  full: boolean;
  bytes: number;
}

export class GuestReporter extends Reporter {
  #view: GuestView | undefined;
  #online = false;
  #metAt: number | undefined;
  #tookMs: number | undefined;
  #path: Path | undefined;
  #offered = false;
  #failing = false;

  see(view: GuestView): void {
    this.#view = view;
    this.#online ||= view.online;
    this.#offered ||= view.offered;
    this.#path = view.path ?? this.#path;
    if (view.met) this.#metAt ??= performance.now();
    if (view.linked && this.#tookMs === undefined) this.#tookMs = performance.now() - (this.#metAt ?? performance.now());
    const failing = this.#tookMs === undefined ? view.trouble !== undefined : view.ending !== undefined || view.full;
    if (view.done && this.#path) this.settle(true);
    else if (failing !== this.#failing && !view.done) {
      if (failing) this.settle(false);
      else this.unsettle();
    }
    this.#failing = failing;
  }

  protected current(): Report | undefined {
    const view = this.#view;
    if (this.#tookMs !== undefined) return this.#worked(view!);
    if (view?.trouble) return { outcome: view.trouble };
    if (this.age < patienceMs) return undefined;
    if (!this.#online) return { outcome: 'no_signaling' };
    if (this.#metAt === undefined) return { outcome: 'alone' };
    return performance.now() - this.#metAt < patienceMs ? undefined : { outcome: 'no_path' };
  }

  #worked(view: GuestView): Report | undefined {
    if (!this.#path) return undefined; // it went before that was known
    const report: Report = { outcome: 'worked', path: this.#path, seconds: secondsBucket(this.#tookMs!), transfer: this.#offered ? 'offered' : 'none' };
    if (view.done) return { ...report, transfer: 'done', size: sizePower(view.bytes) };
    if (view.ending) report.transfer = view.ending.cause;
    else if (view.full) report.transfer = 'full';
    return report;
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
