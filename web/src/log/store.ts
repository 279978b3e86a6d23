// The rows of the log: UTF-8 text and flat columns in chunks of 4096 rows. A million lines of 120
// bytes cost about 140 MB this way, a third of what strings would.
//
// A row's id counts from 0 for the life of the store and never changes; old chunks are let go from
// the front as a whole.

import { type Batch, ERROR, GAP, LINE, type SourceInfo, WARN } from './batch';

const SHIFT = 12;
export const CHUNK_ROWS = 1 << SHIFT;
const MASK = CHUNK_ROWS - 1;

/** What one tab keeps; whichever is reached first. */
export const MAX_ROWS = 1_000_000;
export const MAX_BYTES = 192 * 1024 * 1024;

class Chunk {
  text = new Uint8Array(16 * 1024);
  used = 0;
  rows = 0;
  readonly ends = new Uint32Array(CHUNK_ROWS);
  readonly times = new Float64Array(CHUNK_ROWS);
  readonly kinds = new Uint8Array(CHUNK_ROWS);
  readonly levels = new Uint8Array(CHUNK_ROWS);
  readonly flags = new Uint8Array(CHUNK_ROWS);
  readonly sources = new Uint32Array(CHUNK_ROWS);
  spans: Map<number, Uint32Array> | null = null;

  write(bytes: Uint8Array): void {
    const need = this.used + bytes.length;
    if (need > this.text.length) {
      const larger = new Uint8Array(Math.max(need, this.text.length * 2));
      larger.set(this.text.subarray(0, this.used));
      this.text = larger;
    }
    this.text.set(bytes, this.used);
    this.used = need;
  }
}

export class Store {
  /** The oldest row that is still held. */
  first = 0;
  /** One past the newest row. */
  end = 0;
  /** Log lines received, held or not. */
  lines = 0;
  errors = 0;
  warnings = 0;
  gaps = 0;
  bytes = 0;
  readonly sources: SourceInfo[] = [];
  /** Ids of the held lines that are errors, ascending. */
  errorIds: number[] = [];

  #chunks: Chunk[] = [];
  /** The number of the chunk at the front of `#chunks`. */
  #base = 0;
  readonly #decoder = new TextDecoder();

  constructor(
    private readonly maxRows = MAX_ROWS,
    private readonly maxBytes = MAX_BYTES,
  ) {}

  append(batch: Batch): void {
    this.sources.push(...batch.newSources);
    const from = this.end;
    let start = 0;
    for (let i = 0; i < batch.rows; i++) {
      const slot = this.end & MASK;
      if (slot === 0) this.#grow();
      const chunk = this.#chunks[this.#chunks.length - 1];
      if (!chunk) break;
      const end = batch.ends[i] ?? start;
      chunk.write(batch.text.subarray(start, end));
      start = end;
      const kind = batch.kinds[i] ?? LINE;
      const level = batch.levels[i] ?? 0;
      chunk.ends[slot] = chunk.used;
      chunk.times[slot] = batch.times[i] ?? Number.NaN;
      chunk.kinds[slot] = kind;
      chunk.levels[slot] = level;
      chunk.flags[slot] = batch.flags[i] ?? 0;
      chunk.sources[slot] = batch.sources[i] ?? 0;
      chunk.rows++;
      this.end++;
      if (kind === LINE) {
        this.lines++;
        if (level >= ERROR) {
          this.errors++;
          this.errorIds.push(this.end - 1);
        }
        else if (level === WARN) this.warnings++;
      } else if (kind === GAP) this.gaps++;
    }
    this.bytes += batch.text.length;
    for (const [row, spans] of batch.spans) {
      const chunk = this.#chunk(from + row);
      if (chunk) (chunk.spans ??= new Map()).set((from + row) & MASK, spans);
    }
    this.#evict();
  }

  has(id: number): boolean {
    return id >= this.first && id < this.end;
  }

  text(id: number): string {
    return this.#decoder.decode(this.bytesOf(id));
  }

  /** A view into the chunk, valid until the next append. */
  bytesOf(id: number): Uint8Array {
    const chunk = this.#chunk(id);
    if (!chunk) return EMPTY;
    const slot = id & MASK;
    return chunk.text.subarray(slot === 0 ? 0 : chunk.ends[slot - 1], chunk.ends[slot]);
  }

  kind(id: number): number {
    return this.#chunk(id)?.kinds[id & MASK] ?? 0;
  }

  level(id: number): number {
    return this.#chunk(id)?.levels[id & MASK] ?? 0;
  }

  time(id: number): number {
    return this.#chunk(id)?.times[id & MASK] ?? Number.NaN;
  }

  flags(id: number): number {
    return this.#chunk(id)?.flags[id & MASK] ?? 0;
  }

  sourceIndex(id: number): number {
    return this.#chunk(id)?.sources[id & MASK] ?? 0;
  }

  source(id: number): SourceInfo | undefined {
    return this.sources[this.sourceIndex(id)];
  }

  spans(id: number): Uint32Array | null {
    return this.#chunk(id)?.spans?.get(id & MASK) ?? null;
  }

  #chunk(id: number): Chunk | undefined {
    return this.#chunks[(id >> SHIFT) - this.#base];
  }

  #grow(): void {
    const last = this.#chunks[this.#chunks.length - 1];
    // A full chunk gives back what doubling took too much.
    if (last) last.text = last.text.slice(0, last.used);
    this.#chunks.push(new Chunk());
  }

  #evict(): void {
    while (this.#chunks.length > 1 && (this.end - this.first > this.maxRows || this.bytes > this.maxBytes)) {
      const gone = this.#chunks.shift();
      if (!gone) return;
      this.#base++;
      this.first = this.#base << SHIFT;
      this.bytes -= gone.used;
    }
    if ((this.errorIds[0] ?? this.first) < this.first) this.errorIds = this.errorIds.filter((id) => id >= this.first);
  }
}

const EMPTY = new Uint8Array(0);
