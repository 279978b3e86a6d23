// One row's elements and how they are filled. Log text reaches the DOM as text nodes only.

import { fullTime, shortPod, timeOfDay } from '../format';
import { classesOf } from './ansi';
import { ERROR, GAP, LEVELS, LINE, LOSSY, NO_SOURCE, PARTIAL, PARTIAL_HEAD, WARN } from './batch';
import type { Store } from './store';

/** Longer texts are cut on screen; the whole line is one key away. Layout of a 256 KiB line costs
 * tens of milliseconds, and nobody reads it in a row. */
export const SHOWN_CHARS = 4_000;

/** JSON beyond this is shown without colours. */
const MAX_JSON_CHARS = 4_000;

const MARKED = PARTIAL_HEAD | LOSSY | PARTIAL;

export interface Paint {
  kind: string;
  query: RegExp | null;
  /** The colour of a pod, 0 to 7. */
  colour(pod: string): number;
}

export class Row {
  readonly element = document.createElement('div');
  id = -1;
  /** The shown row's number. */
  index = -1;
  top = -1;

  readonly #time = span('t');
  readonly #pod = span('p');
  readonly #podName = document.createTextNode('');
  readonly #container = span('c');
  readonly #level = span('l');
  readonly #text = span('m');

  constructor() {
    this.#pod.append(this.#podName, this.#container);
    this.element.append(span('b'), this.#time, this.#pod, this.#level, this.#text);
  }

  fill(store: Store, id: number, cursor: boolean, paint: Paint): void {
    this.id = id;
    const kind = store.kind(id);
    const level = store.level(id);
    const index = store.sourceIndex(id);
    const source = index === NO_SOURCE ? undefined : store.source(id);
    const time = store.time(id);
    this.#time.textContent = timeOfDay(time);
    this.#time.title = fullTime(time);
    const words = ['r'];
    if (source) words.push(`c${paint.colour(source.pod)}`);
    if (kind !== LINE) words.push('x');
    if (kind === GAP) words.push('gap');
    if (level >= ERROR) words.push('e');
    else if (level === WARN) words.push('w');
    if (cursor) words.push('cur');
    this.element.className = words.join(' ');
    if (kind === LINE && source) {
      this.#podName.data = shortPod(source.pod, paint.kind);
      this.#container.textContent = source.container ? `/${source.container}` : '';
      this.#pod.title = `${source.pod}/${source.container}, attempt ${source.attempt}`;
      this.#level.textContent = LEVELS[level] ?? '';
    } else {
      this.#podName.data = '';
      this.#container.textContent = '';
      this.#level.textContent = '';
    }
    const text = store.text(id);
    const shown = text.length > SHOWN_CHARS ? text.slice(0, SHOWN_CHARS) : text;
    paintText(this.#text, shown, store.spans(id), paint.query);
    if (shown !== text) {
      const more = span('more');
      more.textContent = ` … ${(text.length - shown.length).toLocaleString('en')} more characters (Enter shows all)`;
      this.#text.append(more);
    }
    const flags = store.flags(id);
    if (flags & MARKED) this.#mark(flags);
  }

  /** What is to be known about the text and is not part of it. */
  #mark(flags: number): void {
    if (flags & PARTIAL_HEAD) {
      const head = mark('… beginning may be missing', 'the first that could be read: the file may have begun inside this line');
      head.classList.add('mh');
      this.#text.prepend(head);
    }
    if (flags & LOSSY) this.#text.append(mark('not UTF-8', 'bytes that are no UTF-8 were replaced by �'));
    if (flags & PARTIAL) this.#text.append(mark('no line end', 'the log ended inside this line'));
  }

  place(index: number, top: number): void {
    this.index = index;
    if (this.top === top) return;
    this.top = top;
    this.element.style.transform = `translateY(${top}px)`;
  }

  show(on: boolean): void {
    if (this.element.hidden !== !on) this.element.hidden = !on;
    if (!on) {
      this.id = -1;
      this.index = -1;
    }
  }
}

function span(name: string): HTMLSpanElement {
  const made = document.createElement('span');
  made.className = name;
  return made;
}

function mark(words: string, title: string): HTMLSpanElement {
  const made = span('mk');
  made.textContent = words;
  made.title = title;
  return made;
}

/** A stretch of text and the classes it wears. */
interface Stretch {
  from: number;
  to: number;
  name: string;
}

/** Writes text with its ANSI styles or JSON colours, and the search's hits over both. */
export function paintText(into: HTMLElement, text: string, spans: ArrayLike<number> | null, query: RegExp | null): void {
  const styled = spans ? fromSpans(spans, text.length) : looksLikeJson(text) ? jsonKeys(text) : [];
  const hits = query ? findHits(text, query) : [];
  if (styled.length === 0 && hits.length === 0) {
    into.textContent = text;
    return;
  }
  const parts: Node[] = [];
  let at = 0;
  for (const piece of styled) {
    if (piece.from > at) paintHits(parts, text, at, piece.from, hits);
    const wrapped = span(piece.name);
    const inner: Node[] = [];
    paintHits(inner, text, piece.from, piece.to, hits);
    wrapped.append(...inner);
    parts.push(wrapped);
    at = piece.to;
  }
  if (at < text.length) paintHits(parts, text, at, text.length, hits);
  into.replaceChildren(...parts);
}

function paintHits(into: Node[], text: string, from: number, to: number, hits: Stretch[]): void {
  let at = from;
  for (const hit of hits) {
    if (hit.to <= at) continue;
    if (hit.from >= to) break;
    const start = Math.max(at, hit.from);
    const end = Math.min(to, hit.to);
    if (start > at) into.push(document.createTextNode(text.slice(at, start)));
    const mark = document.createElement('mark');
    mark.textContent = text.slice(start, end);
    into.push(mark);
    at = end;
  }
  if (at < to) into.push(document.createTextNode(text.slice(at, to)));
}

function fromSpans(spans: ArrayLike<number>, length: number): Stretch[] {
  const made: Stretch[] = [];
  for (let i = 0; i + 2 < spans.length; i += 3) {
    const from = spans[i] ?? 0;
    if (from >= length) break;
    made.push({ from, to: Math.min(length, spans[i + 1] ?? 0), name: classesOf(spans[i + 2] ?? 0) });
  }
  return made;
}

function findHits(text: string, query: RegExp): Stretch[] {
  const made: Stretch[] = [];
  query.lastIndex = 0;
  for (let hit = query.exec(text); hit && made.length < 200; hit = query.exec(text)) {
    made.push({ from: hit.index, to: hit.index + hit[0].length, name: '' });
  }
  return made;
}

export const looksLikeJson = (text: string): boolean =>
  text.length <= MAX_JSON_CHARS && text.charCodeAt(0) === 123 && text.charCodeAt(text.length - 1) === 125;

const KEY = /"(?:[^"\\]|\\.)*"/g;

/** The names of members, without their quotes. */
function jsonKeys(text: string): Stretch[] {
  const made: Stretch[] = [];
  KEY.lastIndex = 0;
  for (let word = KEY.exec(text); word; word = KEY.exec(text)) {
    const end = word.index + word[0].length;
    const after = text.charCodeAt(end) === 32 ? end + 1 : end;
    if (text.charCodeAt(after) === 58) made.push({ from: word.index + 1, to: end - 1, name: 'jk' });
  }
  return made;
}
