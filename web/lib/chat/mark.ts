/** A member's mark: what people tell keys apart by. A colour and an animal in words, a pattern for the eye, and the whole for the careful. */
import { sha256 } from '@noble/hashes/sha2.js';
import type { Bytes } from '../bytes';

export interface Mark {
  /** such as "amber heron" */
  words: string;
  /** in degrees */
  hue: number;
  /** Rows of a pattern of 5 × 5 fields, mirrored left to right. */
  rows: boolean[][];
  /** 128 bits of the key's digest, in groups of four hex digits */
  print: string;
}

const colours = [
  ['red', 5], ['amber', 40], ['olive', 75], ['green', 125], ['jade', 160], ['teal', 185],
  ['sky', 205], ['blue', 228], ['violet', 262], ['purple', 285], ['pink', 325], ['rose', 348],
] as const;

const animals =
  'badger bat bear beaver bee bison boar camel cat cobra cod crab crane crow deer dog dove duck eagle eel elk falcon ferret finch fox frog goat goose gull hare hawk hen heron horse ibis jay kite koala lark lemur lion llama lynx mole moose moth mouse newt otter owl panda puffin quail rat raven robin seal shark sheep snail swan tiger toad wasp whale wolf wren yak zebra'.split(
    ' ',
  );

/** The digest is long enough that the remainders' bias is of no matter. */
export function markOf(publicKey: Bytes): Mark {
  const d = sha256(publicKey);
  const at = (i: number) => d[i]! * 256 + d[i + 1]!;
  const [colour, hue] = colours[at(0) % colours.length]!;
  const bits = at(4);
  const rows = Array.from({ length: 5 }, (_, y) => [0, 1, 2, 1, 0].map((x) => ((bits >> (y * 3 + x)) & 1) === 1));
  const hex = Array.from(d.subarray(0, 16), (b) => b.toString(16).padStart(2, '0')).join('');
  return { words: `${colour} ${animals[at(2) % animals.length]}`, hue, rows, print: hex.match(/.{4}/g)!.join(' ') };
}
