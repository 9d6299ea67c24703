/**
 * The name rules, docs/protocol.md §4.6: what a peer calls a file is hostile text until it has been through here.
 * The result is one path component that is safe to show and to store on every system.
 */

const maxBytes = 255;
/** A longer "extension" is only a name with a dot in it. */
const maxExtensionBytes = 32;

// C0, DEL, C1, soft hyphen, Arabic letter mark, Mongolian vowel separator, zero-width, line and paragraph
// separators, bidi embeddings, overrides and isolates, invisible operators, byte order mark, interlinear
// annotation, path separators, and what Windows forbids. Lone surrogates can't be stored as UTF-8.
const unsafe =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb/\\<>:"|?*]|\p{Cs}/gu;
const device = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\.|$)/i;
const trailing = /[. ]+$/;

/** UTF-8 bytes of one code point. */
function width(char: string): number {
  const point = char.codePointAt(0)!;
  return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

function byteLength(text: string): number {
  let length = 0;
  for (const char of text) length += width(char);
  return length;
}

/** The longest start of text that fits, cut between code points. */
function cut(text: string, bytes: number): string {
  let length = 0;
  let kept = '';
  for (const char of text) {
    length += width(char);
    if (length > bytes) break;
    kept += char;
  }
  return kept;
}

/** Splits before the last dot; a leading dot begins no extension. */
function split(name: string): [stem: string, extension: string] {
  const dot = name.lastIndexOf('.');
  if (dot <= 0 || byteLength(name.slice(dot)) > maxExtensionBytes) return [name, ''];
  return [name.slice(0, dot), name.slice(dot)];
}

/** Puts suffix before the extension and shortens the stem so that all fits into 255 bytes. */
function fit(name: string, suffix: string): string {
  const [stem, extension] = split(name);
  const room = maxBytes - byteLength(suffix) - byteLength(extension);
  return (cut(stem, room) + suffix + extension).replace(trailing, '');
}

/** One safe path component for a name that came from anywhere. */
export function safeName(raw: string): string {
  let name = raw.normalize('NFC').replace(unsafe, '_').replace(trailing, '');
  if (device.test(name)) name = `_${name}`;
  return fit(name, '') || 'file';
}

/** The name with ` (n)` before its extension; n = 0 is the name itself. */
export function numbered(name: string, n: number): string {
  return n === 0 ? name : fit(name, ` (${n})`);
}

/** Equal for names that a case-insensitive file system takes for the same. */
export function fold(name: string): string {
  let folded = '';
  for (const char of name.normalize('NFC')) folded += char.toUpperCase().toLowerCase();
  return folded;
}

/** Safe names for a whole manifest, all different when case is folded, in the same order. */
export function safeNames(raw: readonly string[]): string[] {
  const taken = new Set<string>();
  const next = new Map<string, number>();
  return raw.map((one) => {
    const name = safeName(one);
    const key = fold(name);
    let n = next.get(key) ?? 0;
    while (taken.has(fold(numbered(name, n)))) n++;
    next.set(key, n + 1);
    const free = numbered(name, n);
    taken.add(fold(free));
    return free;
  });
}
