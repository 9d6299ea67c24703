/** What the processes of a program cost: memory (PSS) and CPU, over its whole tree, from /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/** Clock ticks a second; the kernel's ABI fixes 100 on all that Linux browsers run on. */
const ticks = 100;

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // the process has ended
  }
}

/** The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets. */
function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** `root` and all its descendants. */
export function tree(root) {
  const children = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = Number(stat(entry)?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The child of this process whose environment has `entry`, such as "NAME=value". */
export function childWith(entry) {
  const found = tree(process.pid).find((pid) => pid !== process.pid && read(`/proc/${pid}/environ`)?.split('\0').includes(entry));
  if (found === undefined) throw new Error(`no child process has ${entry} in its environment`);
  return found;
}

/** Proportional set size of the tree, in bytes: shared pages are divided among those who share them. */
export function pss(root) {
  let kib = 0;
  for (const pid of tree(root)) kib += Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0);
  return kib * 1024;
}

/**
 * The same without pages of files, which are the program itself: when another browser of the same kind ends, those who are
 * left share them among fewer, and their PSS rises by some 100 MB. For tests that don't run alone.
 */
export function ownPss(root) {
  let kib = 0;
  for (const pid of tree(root)) {
    const text = read(`/proc/${pid}/smaps_rollup`) ?? '';
    for (const [, size] of text.matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+) kB/gm)) kib += Number(size);
  }
  return kib * 1024;
}

/** CPU seconds used by the processes of the tree that live now, and by the children that they have reaped. */
export function cpuSeconds(root) {
  let sum = 0;
  for (const pid of tree(root)) sum += (stat(pid)?.slice(11, 15) ?? []).reduce((a, b) => a + Number(b), 0);
  return sum / ticks;
}

/** Samples measure(root) until stop(), which returns the highest value. */
export function watchPss(root, everyMs = 200, measure = pss) {
  let peak = measure(root);
  const timer = setInterval(() => {
    peak = Math.max(peak, measure(root));
  }, everyMs);
  return {
    stop() {
      clearInterval(timer);
      peak = Math.max(peak, measure(root));
      return peak;
    },
  };
}
