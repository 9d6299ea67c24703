/** Files in the room, as the page shows them. The engine is loaded when there is a file. */
import type { Files, TakingStage } from '../lib/chat/files';
import type { Entry, Room } from '../lib/chat/room';
import { safeName } from '../lib/names';
import type { Path } from '../lib/path';
import type { SourceFile } from '../lib/sending';
import type { Ending } from '../lib/transfer';
import type { Problem } from '../send/problems.svelte';
import type { Abilities } from '../send/sinks/choose';
import { query } from '../send/page';

export interface TakingRow {
  stage: TakingStage;
  bytes: number;
  path: Path | undefined;
  ending: Ending | undefined;
  failure: unknown;
}

/** How an offer of this member goes. */
export interface OfferRow {
  taking: number;
  served: number;
}

export class FileShelf {
  /** by sender and id */
  takings = $state.raw<ReadonlyMap<string, TakingRow>>(new Map());
  offers = $state.raw<ReadonlyMap<number, OfferRow>>(new Map());
  problem = $state<Problem | undefined>();
  /** There is a way for files in this browser. */
  able = $state(false);
  running = false;

  #room: Room | undefined;
  #connect: (() => Promise<RTCPeerConnection>) | undefined;
  #failed: (error: unknown) => void = () => {};
  #files: Promise<Files> | undefined;
  #engine: Files | undefined;
  #abilities: Promise<Abilities> | undefined;
  #ready: { abilities: Abilities; sinks: typeof import('../send/sinks/choose') } | undefined;
  #paths = new Map<string, Path | undefined>();

  constructor(private readonly changed: () => void) {}

  open(room: Room, connect: (() => Promise<RTCPeerConnection>) | undefined, failed: (error: unknown) => void): void {
    this.#room = room;
    this.#connect = connect;
    this.#failed = failed;
    this.able = connect !== undefined;
  }

  close(): void {
    this.#engine?.close();
  }

  /** There is a file to take: what the click on it needs is loaded before. */
  prepare(): void {
    this.#abilities ??= this.#load();
    this.#abilities.catch(this.#failed);
  }

  async share(picked: readonly File[]): Promise<void> {
    this.problem = undefined;
    const files = await this.#start();
    for (const file of picked) {
      if (files.offer(source(file))) continue;
      this.problem = { title: 'That is too many files at once.', text: 'Stop offering others first, or put them into one zip file.' };
      return;
    }
  }

  withdraw(id: number): void {
    this.#engine?.withdraw(id);
  }

  /** In the click on Receive: asks where to, then for the file. */
  async take({ peer, file }: Entry): Promise<void> {
    if (!file) return;
    this.problem = undefined;
    try {
      if (!this.#ready) await (this.#abilities ??= this.#load());
      const { abilities, sinks } = this.#ready!;
      if (!sinks.fits(abilities.kind, file.size)) {
        this.problem = { title: 'This file is too large for this page.', text: 'Over plain http, or in a private window, a page can keep files only in memory. Open the room over https, or in a normal window.' };
        return;
      }
      const expected = { name: file.name, size: file.size };
      const sink = await sinks.openSink(abilities, [expected]);
      if (sink) (await this.#start()).take(peer, file.id, expected, sink);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      this.problem = { title: 'The file can’t be saved there.', text: `Choose another place. What the browser said: ${said}` };
    }
  }

  cancel({ peer, file }: Entry): void {
    if (file) this.#engine?.cancel(peer, file.id);
  }

  /** Copies the figures; says whether something runs. */
  update(): boolean {
    const files = this.#engine;
    if (!files) return false;
    const takings = new Map<string, TakingRow>();
    for (const [key, { peer, id }] of files.takings) {
      const view = files.view(peer, id)!;
      if (view.stage === 'running') void view.path().then((path) => this.#paths.set(key, path ?? this.#paths.get(key)), () => {});
      takings.set(key, { ...view, path: this.#paths.get(key) });
    }
    this.takings = takings;
    this.offers = new Map(
      [...files.offers].map(([id, { host }]) => {
        const guests = [...host.guests.values()];
        return [id, { taking: guests.filter((guest) => guest.active || guest.phase === 'queued').length, served: guests.filter((guest) => guest.served).length }];
      }),
    );
    this.running = files.running;
    return files.running;
  }

  #start(): Promise<Files> {
    const room = this.#room!;
    const connect = this.#connect!;
    this.#files ??= import('../lib/chat/files').then((module) => {
      this.#engine = new module.Files({ room, connect, changed: this.changed, failed: this.#failed });
      return this.#engine;
    });
    return this.#files;
  }

  async #load(): Promise<Abilities> {
    const sinks = await import('../send/sinks/choose');
    const abilities = await sinks.findAbilities(query.get('sink'));
    this.#ready = { abilities, sinks };
    return abilities;
  }
}

function source(file: File): SourceFile {
  const read = async (offset: number, length: number) => new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
  return { name: safeName(file.name), size: file.size, read };
}
