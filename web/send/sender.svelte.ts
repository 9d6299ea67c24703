/** The sender's page: from picked files to a link, and the guests that come through it. */
import { createSession, sendReport, type HostMembership } from '../lib/api';
import { toBase64Url } from '../lib/bytes';
import { bestSha256, randomBytes } from '../lib/crypto';
import { HostSession, type HostGuest } from '../lib/host';
import { safeNames } from '../lib/names';
import type { Path } from '../lib/path';
import { maxFiles } from '../lib/protocol';
import { Rate } from '../lib/rate';
import type { Place } from '../lib/place';
import { HostReporter } from '../lib/report';
import type { SourceFile } from '../lib/sending';
import { HubSignaling } from '../lib/signaling';
import { Guard, connector, onPage, preferredRegion, regions } from './page';
import { describe, messageProblem, problems, relayProblem, type Problem } from './problems.svelte';
import { Ticker } from './ticker';

const pathEveryMs = 2000;

/** One row of the list. */
export interface GuestRow {
  guest: HostGuest;
  number: number;
  bytes: number;
  rate: number | undefined;
  left: number | undefined;
  path: Path | undefined;
  interrupted: boolean;
  /** copies, so that the page sees them change */
  linkPhase: HostGuest['linkPhase'];
  linkEnd: HostGuest['linkEnd'];
  phase: HostGuest['phase'];
  ending: HostGuest['ending'];
  ahead: number;
}

interface Measured {
  rate: Rate;
  path: Path | undefined;
  asked: number;
}

export class Sender {
  step = $state<'pick' | 'linking' | 'open'>('pick');
  files = $state.raw<SourceFile[]>([]);
  link = $state('');
  seats = $state(0);
  seatsTaken = $state(0);
  rows = $state.raw<GuestRow[]>([]);
  /** The signaling connection is up: new guests can come. */
  online = $state(false);
  problem = $state<Problem | undefined>();
  /** Four fifths of what may be relayed are used up. */
  nearlySpent = $state(false);
  /** The server won't have this page any more. */
  over = $state(false);
  total = $derived(this.files.reduce((sum, file) => sum + file.size, 0));

  #session: HostSession | undefined;
  #measured = new WeakMap<HostGuest, Measured>();
  #ticker = new Ticker(() => this.#update());
  #guard = new Guard();

  /** Takes files, and makes the link at once. */
  async pick(picked: readonly File[]): Promise<void> {
    if (this.step !== 'pick' || picked.length === 0) return;
    this.problem = undefined;
    if (picked.length > maxFiles) {
      this.problem = { title: `That is more than ${maxFiles} files.`, text: 'Put them into one zip file and send that.' };
      return;
    }
    this.step = 'linking';
    try {
      const names = safeNames(picked.map((file) => file.name));
      const files = picked.map((file, i) => source(file, names[i]!));
      const finder = await regions;
      const member = await finder.create((server) => createSession(undefined, server));
      this.#open(files, member, finder.place(member, false));
    } catch (error) {
      this.problem = describe(error);
      this.step = 'pick';
    }
  }

  cancel(guest: HostGuest): void {
    this.#session?.cancel(guest);
  }

  refuse(problem: Problem): void {
    this.problem = problem;
  }

  #open(files: SourceFile[], member: HostMembership, place: Place): void {
    const secret = randomBytes(16);
    const reporter = new HostReporter((report) => sendReport(report, member.grant, place.base));
    const signaling = new HubSignaling(member.grant, {
      connected: () => {
        this.online = true;
        reporter.see(true);
        session.connected();
      },
      disconnected: () => (this.online = false),
      hello: (from, role) => session.hello(from, role),
      signal: (from, role, n, data) => session.signal(from, role, n, data),
      left: (from, role) => session.left(from, role),
      relay: (from, link, servers) => session.relay(from, link, servers),
      restart: (from, servers) => session.restart(from, servers),
      budget: (state) => {
        this.nearlySpent = true; // shown where it concerns a path
        if (state === 'spent' && this.rows.some(({ path }) => path === 'relay')) this.problem = relayProblem('relay_spent');
      },
      refused: ({ fatal, code }) => {
        this.over ||= fatal;
        if (code.startsWith('relay_')) this.problem = relayProblem(code) ?? this.problem;
        else this.problem = fatal
          ? {
              title: code === 'removed' ? 'Whoever runs this server has ended this session.' : 'The link has expired.',
              text: 'What is connected directly goes on. Reload this page and choose the files again for a new link.',
            }
          : messageProblem(code, 'If a receiver cannot connect, reload this page and share the new link.');
      },
    }, preferredRegion(), place);
    const session = new HostSession({
      session: member.session,
      peer: member.peer,
      secret,
      seats: member.seats,
      files,
      sha256: bestSha256(),
      signaling,
      connect: connector(member.grant, place),
      changed: this.#ticker.request,
      failed: problems.report,
    });
    this.#session = session;
    this.files = files;
    this.seats = member.seats;
    this.link = `${member.base.replace(/\/+$/, '')}/#${member.invite}.${toBase64Url(secret)}`;
    this.step = 'open';
    onPage(
      () => {
        reporter.leave();
        session.close();
        void signaling.close();
      },
      () => signaling.retryNow(),
    );
    signaling.run().catch(problems.report);
  }

  #update(): boolean {
    const guests = [...(this.#session?.guests.values() ?? [])];
    const now = performance.now();
    this.rows = guests.filter(shown).map((guest) => this.#row(guest, now));
    this.seatsTaken = guests.filter((guest) => guest.seated).length;
    const active = guests.some((guest) => guest.active);
    this.#guard.set(active);
    return active || guests.some((guest) => guest.linked);
  }

  #row(guest: HostGuest, now: number): GuestRow {
    let measured = this.#measured.get(guest);
    if (!measured || (guest.phase === 'accepted' && measured.rate.perSecond(now) !== undefined)) {
      measured = { rate: new Rate(), path: measured?.path, asked: 0 };
      this.#measured.set(guest, measured);
    }
    const bytes = guest.sending?.progress ?? 0;
    if (guest.phase === 'running') measured.rate.add(bytes, now);
    this.#askPath(guest, measured, now);
    return {
      guest,
      number: guest.number,
      bytes,
      rate: guest.phase === 'running' ? measured.rate.perSecond(now) : undefined,
      left: guest.phase === 'running' ? measured.rate.secondsLeft(this.total, now) : undefined,
      path: measured.path,
      interrupted: guest.link?.interrupted ?? false,
      linkPhase: guest.linkPhase,
      linkEnd: guest.linkEnd,
      phase: guest.phase,
      ending: guest.ending,
      ahead: guest.ahead,
    };
  }

  /** The path may change while a transfer runs. */
  #askPath(guest: HostGuest, measured: Measured, now: number): void {
    if (guest.link?.phase !== 'ready' || now - measured.asked < (measured.path ? pathEveryMs : 100)) return;
    measured.asked = now;
    guest.link.path().then(
      (path) => (measured.path = path ?? measured.path),
      () => {}, // the connection is closing
    );
  }
}

/** A guest that only looked and left needs no row. */
function shown(guest: HostGuest): boolean {
  return guest.linked || guest.served || guest.linkEnd === 'unverified' || guest.linkEnd === 'unreachable' || (guest.ending !== undefined && guest.began);
}

function source(file: File, name: string): SourceFile {
  const read = async (offset: number, length: number) => new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
  return { name, size: file.size, read };
}
