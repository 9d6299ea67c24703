/** The worker of `solve.ts`: gets a challenge, answers with its solution. It is ended when nobody wants that any more. */
import { Work } from './work';

const slice = 1 << 20;

addEventListener('message', ({ data }: MessageEvent<string>) => {
  const work = new Work(data);
  while (!work.run(slice));
  postMessage(work.text());
});
