// Which rows are shown: a growing list of row ids under a filter, or all rows without one.

import { ERROR, EVENT, GAP, LINE, NO_SOURCE, NOTE, OLD_SIDE } from './batch';
import type { Store } from './store';

export interface Filter {
  /** Least level of log lines; 0 shows all, lines of unknown level included. */
  level: number;
  /** Pod name, or empty for all. */
  pod: string;
  /** Container name, or empty for all. */
  container: string;
  /** Only pods of this side. */
  side: '' | 'new' | 'old';
}

export const ALL: Filter = { level: 0, pod: '', container: '', side: '' };

const trivial = (filter: Filter): boolean => filter.level === 0 && !filter.pod && !filter.container && !filter.side;

export class Selection {
  filter: Filter = ALL;
  /** How many rows were let go from the front since the last `reset`. */
  #head = 0;
  #ids = new Uint32Array(1024);
  #used = 0;
  #scanned = 0;

  constructor(
    private readonly store: Store,
    /** Pods of the old revision, by name: a line's own flag is what it was when it was read. */
    private readonly oldPods: ReadonlySet<string>,
  ) {}

  get length(): number {
    return trivial(this.filter) ? this.store.end - this.store.first : this.#used - this.#head;
  }

  /** The id of the shown row number `index`. */
  id(index: number): number {
    return trivial(this.filter) ? this.store.first + index : (this.#ids[this.#head + index] ?? -1);
  }

  /** The number of the first shown row whose id is at least `id`. */
  indexOf(id: number): number {
    if (trivial(this.filter)) return Math.min(this.length, Math.max(0, id - this.store.first));
    let low = this.#head;
    let high = this.#used;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] ?? 0) < id) low = middle + 1;
      else high = middle;
    }
    return low - this.#head;
  }

  set(filter: Filter): void {
    this.filter = filter;
    this.#used = 0;
    this.#head = 0;
    this.#scanned = this.store.first;
    this.update();
  }

  /** Takes in what was appended and lets go what was evicted; returns how many shown rows went. */
  update(): number {
    const { store } = this;
    if (trivial(this.filter)) {
      const gone = Math.max(0, store.first - this.#scanned);
      this.#scanned = Math.max(this.#scanned, store.first);
      return gone;
    }
    const before = this.#head;
    while (this.#head < this.#used && (this.#ids[this.#head] ?? 0) < store.first) this.#head++;
    if (this.#head > this.#ids.length / 2) {
      this.#ids.copyWithin(0, this.#head, this.#used);
      this.#used -= this.#head;
      const gone = this.#head - before;
      this.#head = 0;
      this.#scan();
      return gone;
    }
    this.#scan();
    return this.#head - before;
  }

  #scan(): void {
    const { store } = this;
    for (let id = Math.max(this.#scanned, store.first); id < store.end; id++) {
      if (!this.#wants(id)) continue;
      if (this.#used === this.#ids.length) {
        const larger = new Uint32Array(this.#ids.length * 2);
        larger.set(this.#ids);
        this.#ids = larger;
      }
      this.#ids[this.#used++] = id;
    }
    this.#scanned = store.end;
  }

  #wants(id: number): boolean {
    const { store, filter } = this;
    const kind = store.kind(id);
    const index = store.sourceIndex(id);
    if (index !== NO_SOURCE) {
      const source = store.sources[index];
      if (filter.pod && source?.pod !== filter.pod) return false;
      // Rows about a whole pod name no container.
      if (filter.container && source?.container && source.container !== filter.container) return false;
      if (filter.side) {
        const old = kind === LINE ? (store.flags(id) & OLD_SIDE) !== 0 : this.oldPods.has(source?.pod ?? '');
        if (old !== (filter.side === 'old')) return false;
      }
    } else if (kind === EVENT && filter.pod) return false;
    // A gap is never filtered away by level: what is missing may have been an error.
    if (kind === GAP || kind === NOTE) return true;
    if (kind === LINE) return store.level(id) >= filter.level;
    return filter.level < ERROR || store.level(id) >= filter.level;
  }
}
