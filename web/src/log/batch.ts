// What the worker hands to the page: many rows at once in flat arrays, whose buffers are
// transferred rather than copied.

/** What a row is. */
export const LINE = 0;
export const EVENT = 1;
export const POD = 2;
export const SOURCE = 3;
export const GAP = 4;
export const NOTE = 5;

/** Levels, rising; 0 is unknown. */
export const LEVELS = ['', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export const WARN = 4;
export const ERROR = 5;

/** Flags of a row. */
export const TRUNCATED = 1;
export const LOSSY = 2;
export const PARTIAL = 4;
export const OLD_SIDE = 8;
export const PARTIAL_HEAD = 16;

/** No source: rows that concern the whole selection. */
export const NO_SOURCE = 0xffffffff;

export interface SourceInfo {
  pod: string;
  container: string;
  attempt: number;
}

export interface Batch {
  rows: number;
  text: Uint8Array;
  /** Where each row's text ends in `text`. */
  ends: Uint32Array;
  /** Milliseconds since 1970, with the fraction that is known. */
  times: Float64Array;
  kinds: Uint8Array;
  levels: Uint8Array;
  flags: Uint8Array;
  sources: Uint32Array;
  /** Styles: row in the batch, then its triples of start, end, style. */
  spans: Array<[row: number, spans: Uint32Array]>;
  /** Sources first used in this batch; their numbers go on from those before. */
  newSources: SourceInfo[];
}

export function levelOf(word: string | null | undefined): number {
  if (!word) return 0;
  switch (word) {
    case 'warning':
      return WARN;
    case 'notice':
      return 3;
    case 'critical':
    case 'panic':
      return 6;
    default:
      return Math.max(0, LEVELS.indexOf(word as (typeof LEVELS)[number]));
  }
}

/** RFC 3339 to ms since 1970 with the sub-millisecond part kept; NaN if it is not a time. */
export function timeOf(text: string): number {
  const ms = Date.parse(text);
  const dot = text.indexOf('.');
  if (dot === -1 || text.length < dot + 6) return ms;
  const fraction = /^[0-9]+/.exec(text.slice(dot + 4, dot + 10));
  return fraction ? ms + Number(fraction[0]) / 10 ** fraction[0].length : ms;
}

const encoder = new TextEncoder();

/** Collects rows until they are taken. */
export class BatchBuilder {
  #text = new Uint8Array(64 * 1024);
  #used = 0;
  #rows: number[] = [];
  #times: number[] = [];
  #kinds: number[] = [];
  #levels: number[] = [];
  #flags: number[] = [];
  #sources: number[] = [];
  #spans: Array<[number, Uint32Array]> = [];
  #newSources: SourceInfo[] = [];
  #known = new Map<string, number>();

  get rows(): number {
    return this.#rows.length;
  }

  get bytes(): number {
    return this.#used;
  }

  /** The number of a source, given at its first use. */
  source(pod: string, container: string, attempt: number): number {
    const name = `${pod}\0${container}\0${attempt}`;
    let index = this.#known.get(name);
    if (index === undefined) {
      index = this.#known.size;
      this.#known.set(name, index);
      this.#newSources.push({ pod, container, attempt });
    }
    return index;
  }

  add(kind: number, time: number, level: number, flags: number, source: number, text: string, spans: number[] | null): void {
    // Three bytes a UTF-16 unit is the most that UTF-8 needs.
    const need = this.#used + text.length * 3;
    if (need > this.#text.length) {
      const larger = new Uint8Array(Math.max(need, this.#text.length * 2));
      larger.set(this.#text.subarray(0, this.#used));
      this.#text = larger;
    }
    this.#used += encoder.encodeInto(text, this.#text.subarray(this.#used)).written;
    if (spans) this.#spans.push([this.#rows.length, Uint32Array.from(spans)]);
    this.#rows.push(this.#used);
    this.#times.push(time);
    this.#kinds.push(kind);
    this.#levels.push(level);
    this.#flags.push(flags);
    this.#sources.push(source);
  }

  /** Takes what was collected and begins anew. */
  take(): Batch {
    const batch: Batch = {
      rows: this.#rows.length,
      text: this.#text.slice(0, this.#used),
      ends: Uint32Array.from(this.#rows),
      times: Float64Array.from(this.#times),
      kinds: Uint8Array.from(this.#kinds),
      levels: Uint8Array.from(this.#levels),
      flags: Uint8Array.from(this.#flags),
      sources: Uint32Array.from(this.#sources),
      spans: this.#spans,
      newSources: this.#newSources,
    };
    this.#used = 0;
    this.#rows = [];
    this.#times = [];
    this.#kinds = [];
    this.#levels = [];
    this.#flags = [];
    this.#sources = [];
    this.#spans = [];
    this.#newSources = [];
    return batch;
  }
}

export const buffersOf = (batch: Batch): ArrayBuffer[] =>
  [batch.text, batch.ends, batch.times, batch.kinds, batch.levels, batch.flags, batch.sources].map(
    (array) => array.buffer as ArrayBuffer,
  );
