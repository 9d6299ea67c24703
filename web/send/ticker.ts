/** Brings the engines' figures to the page: at most once a frame, and steadily while something runs. */

const everyMs = 200;
/** A hidden page has no frames; its title still shows the progress. */
const hiddenMs = 1000;

export class Ticker {
  #asked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `update` copies the figures and says whether something is running. */
  constructor(private readonly update: () => boolean) {}

  readonly request = (): void => {
    if (this.#asked) return;
    this.#asked = true;
    if (document.hidden) setTimeout(this.#run, 0);
    else requestAnimationFrame(this.#run);
  };

  readonly #run = (): void => {
    this.#asked = false;
    clearTimeout(this.#timer);
    if (this.update()) this.#timer = setTimeout(this.request, document.hidden ? hiddenMs : everyMs);
  };
}
