/** The receiver's page: from the link in its address to verified files. */
import { ApiError, joinSession, sendReport, type Membership } from '../lib/api';
import { fromBase64Url, type Bytes } from '../lib/bytes';
import { bestSha256 } from '../lib/crypto';
import { GuestSession, type GuestStage } from '../lib/guest';
import type { Path } from '../lib/path';
import type { FileEntry } from '../lib/protocol';
import { Rate } from '../lib/rate';
import type { Place } from '../lib/place';
import { GuestReporter } from '../lib/report';
import type { ReceivingPhase } from '../lib/receiving';
import { HubSignaling } from '../lib/signaling';
import type { Ending } from '../lib/transfer';
import { Guard, connector, onPage, query, preferredRegion, regions } from './page';
import { describe, messageProblem, problems, relayProblem, type Problem } from './problems.svelte';
import { findAbilities, openSink, type Abilities } from './sinks/choose';
import { Ticker } from './ticker';

const pathEveryMs = 2000;
const retryJoinMs = 3000;
/** Seconds; who is told to come back later than that is told so. */
const retryJoinAtMost = 120;

/** The link's fragment: `<invite>.<secret>`. */
function parseFragment(hash: string): { invite: string; secret: Bytes } | undefined {
  const match = /^#([\w-]{50})\.([\w-]{22})$/.exec(hash);
  const secret = match && fromBase64Url(match[2]!);
  return secret ? { invite: match[1]!, secret } : undefined;
}

export class Receiver {
  stage = $state<GuestStage | 'joining' | 'refused'>('joining');
  phase = $state<ReceivingPhase | undefined>();
  files = $state.raw<FileEntry[]>([]);
  total = $state(0);
  ahead = $state(0);
  bytes = $state(0);
  rate = $state<number | undefined>();
  left = $state<number | undefined>();
  path = $state<Path | undefined>();
  ending = $state.raw<Ending | undefined>();
  failure = $state.raw<unknown>();
  setback = $state<'unreachable' | 'lost' | undefined>();
  interrupted = $state(false);
  online = $state(false);
  abilities = $state.raw<Abilities | undefined>();
  /** The picker is open. */
  picking = $state(false);
  problem = $state<Problem | undefined>();
  /** Four fifths of what may be relayed are used up. */
  nearlySpent = $state(false);

  #session: GuestSession | undefined;
  /** Why the server won't have this page any more. */
  #over = '';
  #measure = new Rate();
  #asked = 0;
  #ticker = new Ticker(() => this.#update());
  #guard = new Guard();
  #reporter: GuestReporter | undefined;

  async start(): Promise<void> {
    findAbilities(query.get('sink')).then((abilities) => (this.abilities = abilities), problems.report);
    const link = parseFragment(location.hash);
    if (!link) {
      this.#refuse({ title: 'This link is not complete.', text: 'Copy all of it, up to its last character, or ask the sender to send it again.' });
      return;
    }
    for (let wait = retryJoinMs; ; ) {
      try {
        const finder = await regions;
        const member = await finder.join(link.invite, (server) => joinSession(link.invite, undefined, server));
        this.#open(member, link.secret, finder.place(member, true));
        return;
      } catch (error) {
        this.problem = describe(error);
        if (!(error instanceof ApiError) || (error.code !== 'unreachable' && error.status < 500 && error.status !== 429)) return this.#refuse(this.problem);
        if ((error.retryAfter ?? 0) > retryJoinAtMost) return this.#refuse(this.problem);
        wait = Math.max(retryJoinMs, (error.retryAfter ?? 0) * 1000);
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** In the click on Accept: asks where to, then for a seat. */
  async accept(): Promise<void> {
    if (!this.abilities || this.picking) return;
    this.picking = true;
    this.problem = undefined;
    try {
      const sink = await openSink(this.abilities, this.files);
      if (sink) this.#session?.accept(sink);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      this.problem = { title: 'The files can’t be saved there.', text: `Accept again and choose another place. What the browser said: ${said}` };
    } finally {
      this.picking = false;
    }
  }

  cancel(): void {
    this.#session?.cancel();
  }

  retry(): void {
    this.#measure = new Rate();
    this.#session?.retry();
  }

  #refuse(problem: Problem): void {
    this.problem = problem;
    this.stage = 'refused';
  }

  #open(member: Membership, secret: Bytes, place: Place): void {
    this.problem = undefined;
    const signaling = new HubSignaling(member.grant, {
      connected: () => {
        this.online = true;
        session.connected();
      },
      disconnected: () => (this.online = false),
      hello: (from, role) => session.hello(from, role),
      signal: (from, role, n, data) => session.signal(from, role, n, data),
      left: (from, role) => session.left(from, role),
      relay: (from, link, servers) => session.relay(from, link, servers),
      restart: (from, servers) => session.restart(from, servers),
      budget: (state) => {
        this.nearlySpent = true; // shown where it concerns the path
        if (state === 'spent' && this.path === 'relay') this.problem = relayProblem('relay_spent');
      },
      refused: ({ fatal, code }) => {
        if (fatal) this.#expired(code);
        else if (code.startsWith('relay_')) this.problem = relayProblem(code) ?? this.problem;
        else this.problem = messageProblem(code, 'Reload the page to try again.');
      },
    }, preferredRegion(), place);
    const session = new GuestSession({
      session: member.session,
      peer: member.peer,
      secret,
      sha256: bestSha256(),
      signaling,
      connect: connector(member.grant, place),
      changed: this.#ticker.request,
      failed: problems.report,
    });
    this.#session = session;
    this.stage = session.stage;
    this.#reporter = new GuestReporter((report) => sendReport(report, member.grant, place.base));
    onPage(
      () => {
        this.#reporter?.leave();
        session.close();
        void signaling.close();
      },
      () => signaling.retryNow(),
    );
    signaling.run().catch(problems.report);
  }

  /** A transfer that has a channel goes on; one that hasn't, or loses it, can't begin any more. */
  #expired(code: string): void {
    this.#over = code;
    if (!this.#session?.link && this.#session?.receiving?.phase !== 'done') this.#refuse(describe(new ApiError(code, '')));
  }

  #update(): boolean {
    const session = this.#session;
    if (this.#over) this.#expired(this.#over);
    if (!session || this.stage === 'refused') return false;
    const { receiving, link } = session;
    this.stage = session.stage;
    this.setback = session.setback;
    this.interrupted = link?.interrupted ?? false;
    this.phase = receiving?.phase;
    this.ending = receiving?.ending;
    this.failure = receiving?.failure;
    if (receiving && receiving.phase !== 'listing') {
      this.files = receiving.files;
      this.total = receiving.total;
    }
    this.ahead = receiving?.ahead ?? 0;
    this.bytes = receiving?.written ?? 0;
    const now = performance.now();
    const running = receiving?.phase === 'running' || receiving?.phase === 'closing';
    if (running) this.#measure.add(this.bytes, now);
    this.rate = running ? this.#measure.perSecond(now) : undefined;
    this.left = running ? this.#measure.secondsLeft(this.total, now) : undefined;
    this.#askPath(now);
    this.#guard.set(running);
    this.#report(session);
    return link !== undefined;
  }

  #report({ stage, setback, link, receiving }: GuestSession): void {
    const linked = link?.phase === 'ready';
    this.#reporter?.see({
      online: this.online,
      met: linked || stage === 'connecting' || stage === 'verifying',
      linked,
      path: this.path,
      trouble: stage === 'unverified' ? 'unverified' : setback === 'unreachable' ? 'no_path' : undefined,
      offered: receiving !== undefined && receiving.phase !== 'listing',
      done: receiving?.phase === 'done',
      ending: receiving?.ending,
      full: receiving?.phase === 'full',
      bytes: this.total,
    });
  }

  /** The path may change while the transfer runs. */
  #askPath(now: number): void {
    const link = this.#session?.link;
    if (link?.phase !== 'ready' || now - this.#asked < (this.path ? pathEveryMs : 100)) return;
    this.#asked = now;
    link.path().then(
      (path) => (this.path = path ?? this.path),
      () => {}, // the connection is closing
    );
  }
}
