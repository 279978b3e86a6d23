// Line keys seen lately. After an approximate resume (another replica, a restart) the server reads
// again from a second before the last id; what was already shown is dropped by its key.

/** How many keys are kept. An overlap is about a second of lines; this is several seconds at
 * 10,000 lines/s and about 10 MiB of strings. */
export const MAX_KEYS = 65_536;

export class SeenKeys {
  #now = new Set<string>();
  #before = new Set<string>();

  constructor(private readonly max = MAX_KEYS) {}

  /** Remembers the key; false if it was already there. */
  add(key: string): boolean {
    if (this.#now.has(key) || this.#before.has(key)) return false;
    this.#now.add(key);
    // Two generations: forgetting is dropping a whole set, never walking one.
    if (this.#now.size >= this.max / 2) {
      this.#before = this.#now;
      this.#now = new Set();
    }
    return true;
  }
}
