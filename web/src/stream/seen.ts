// What was shown lately, by its key. After an approximate resume (a restarted server, another
// replica) the sources are read again from a second or more before the last id; what this page has
// shown already is dropped.
//
// Always: one hash a line into a ring. Only after such a resume: a table of what the ring holds, and
// a look into it for lines that are no younger than the youngest that was shown before. A younger
// line cannot have been shown, so the table falls idle by itself when the overlap is over.

/** How many keys are kept, the newest: 1 MiB, and 13 s of lines at 10,000 a second. An overlap is
 * about two seconds of lines. There is no bound by time: a quiet log may be repeated after an hour. */
export const MAX_KEYS = 131_072;

/** An empty place; no key hashes to it. */
const NONE = 0;

/** 53 bits of a text, as many as a number holds. That a new line is taken for one of the kept keys
 * has odds of one in 7 * 10^10. After "cyrb53" by bryc, which is in the public domain. */
export function hash(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 0x1_0000_0000 * (b & 0x1f_ffff) + (a >>> 0) || 1;
}

export class SeenKeys {
  readonly #ring: Float64Array;
  #next = 0;
  /** The youngest time that was shown, in ms since 1970. */
  #newest = Number.NEGATIVE_INFINITY;
  /** Open addressing; at most half full, so that every search meets an empty place. */
  #table: Float64Array | null = null;
  #edge = Number.NEGATIVE_INFINITY;

  /** `max` is a power of two. */
  constructor(max = MAX_KEYS) {
    this.#ring = new Float64Array(max);
  }

  /** From here on, what was shown may come again. Holds across exact resumes: an overlap that is cut
   * goes on after them. */
  overlap(): void {
    const table = new Float64Array(2 * this.#ring.length);
    for (const key of this.#ring) if (key !== NONE) table[place(table, key)] = key;
    this.#table = table;
    this.#edge = this.#newest;
  }

  /** Takes a key to be shown with its time; false if it was shown before the overlap began. */
  take(key: number, time: number): boolean {
    const table = this.#table;
    // Also looks where the time is unknown.
    if (table !== null && !(time > this.#edge) && table[place(table, key)] === key) return false;
    this.#ring[this.#next] = key;
    this.#next = (this.#next + 1) & (this.#ring.length - 1);
    if (time > this.#newest) this.#newest = time;
    return true;
  }
}

/** Where a key is or belongs. */
function place(table: Float64Array, key: number): number {
  let at = key & (table.length - 1);
  while (table[at] !== NONE && table[at] !== key) at = (at + 1) & (table.length - 1);
  return at;
}
