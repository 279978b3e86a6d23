// Text search over the shown rows. `a|b` finds either word; letters match in both cases. Words and
// not regular expressions: nothing typed here can make the page hang.

import type { Selection } from './select';
import type { Store } from './store';

/** More words than this are not looked for. */
const MAX_WORDS = 16;

export const wordsOf = (query: string): string[] =>
  query.split('|').map((word) => word.trim()).filter((word) => word !== '').slice(0, MAX_WORDS);

/** Finds the words in a string, for highlighting. Null without words. */
export function highlighter(query: string): RegExp | null {
  const words = wordsOf(query);
  if (words.length === 0) return null;
  return new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'gi');
}

const encoder = new TextEncoder();
const lower = (byte: number): number => (byte >= 65 && byte <= 90 ? byte + 32 : byte);

export class Search {
  query = '';
  /** Ids of the rows that match, ascending. */
  readonly hits: number[] = [];

  #words: Uint8Array[] = [];
  #next = 0;

  constructor(
    private readonly store: Store,
    private readonly selection: Selection,
  ) {}

  get done(): boolean {
    return this.#words.length === 0 || this.#next >= this.store.end;
  }

  set(query: string): void {
    this.query = query;
    this.#words = wordsOf(query).map((word) => encoder.encode(word).map(lower));
    this.restart();
  }

  /** Begins anew, after the shown rows changed. */
  restart(): void {
    this.hits.length = 0;
    this.#next = this.store.first;
  }

  /** Looks on for at most `budgetMs`. */
  scan(budgetMs: number, now: () => number): void {
    if (this.#words.length === 0) return;
    let stale = 0;
    while (stale < this.hits.length && (this.hits[stale] ?? 0) < this.store.first) stale++;
    if (stale > 0) this.hits.splice(0, stale);
    const until = now() + budgetMs;
    let index = this.selection.indexOf(Math.max(this.#next, this.store.first));
    const { length } = this.selection;
    for (; index < length; index++) {
      const id = this.selection.id(index);
      if (this.#matches(this.store.bytesOf(id))) this.hits.push(id);
      // Asked after the work, so that every look gets on.
      if ((index & 255) === 255 && now() > until) {
        this.#next = id + 1;
        return;
      }
    }
    this.#next = this.store.end;
  }

  #matches(text: Uint8Array): boolean {
    return this.#words.some((word) => contains(text, word));
  }
}

function contains(text: Uint8Array, word: Uint8Array): boolean {
  const first = word[0] ?? 0;
  const last = text.length - word.length;
  for (let i = 0; i <= last; i++) {
    if (lower(text[i] ?? 0) !== first) continue;
    let k = 1;
    while (k < word.length && lower(text[i + k] ?? 0) === word[k]) k++;
    if (k === word.length) return true;
  }
  return false;
}
