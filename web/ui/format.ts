/** Numbers as people read them. Binary units, as file managers and the limits on the pages use. */

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 1 536 → "1.5 KiB" */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return bytes === 1 ? '1 byte' : `${Math.round(bytes)} bytes`;
  let value = bytes;
  let unit = -1;
  do {
    value /= 1024;
    unit++;
  } while (value >= 1023.95 && unit < units.length - 1);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** "8 s", "3 min 20 s", "2 h 5 min" */
export function formatDuration(seconds: number): string {
  const s = Math.ceil(seconds);
  if (s < 60) return `${s} s`;
  // Far away, seconds only flicker.
  if (s < 600) return `${Math.floor(s / 60)} min ${Math.floor((s % 60) / 10) * 10} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Never 100 before it is true. */
export function formatPercent(part: number): string {
  return `${Math.floor(part * 100)} %`;
}

export function countFiles(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}
