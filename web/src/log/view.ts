// The log on screen: some sixty recycled rows over the store, one draw per animation frame.
//
// Invariants: only `draw` touches the rows; a row whose id did not change is not touched, so that a
// text selection survives what arrives; following is left by any upward scroll and never fought.

import { ERROR, LINE } from './batch';
import { Heights } from './heights';
import { type Paint, Row, SHOWN_CHARS } from './row';
import { Search, highlighter } from './search';
import { type Filter, Selection } from './select';
import type { Store } from './store';

/** Browsers lay out neither endlessly tall boxes nor far positions exactly; beyond this the
 * scrollbar's travel is scaled. */
const MAX_HEIGHT = 8_000_000;
/** Rows drawn outside the window, so that a fast scroll shows rows and not paper. */
const OVERSCAN = 8;
/** Time for searching in one frame. */
const SEARCH_BUDGET_MS = 6;
/** Time for searching when a jump waits for it. */
const JUMP_BUDGET_MS = 100;
/** The sheet is moved when what it shows is this far from its origin. */
const SHEET_REACH = 200_000;

export interface ViewEvents {
  /** Follow, pill, search count or cursor changed. */
  changed(): void;
  /** A row was asked for in full. */
  open(id: number): void;
}

export class LogView {
  readonly selection: Selection;
  readonly search: Search;
  follow = true;
  wrap = false;
  /** The row that keys act on, or -1. */
  cursor = -1;
  /** Lines and errors that came while paused. */
  missedLines = 0;
  missedErrors = 0;

  readonly #space = document.createElement('div');
  readonly #sheet = document.createElement('div');
  readonly #probe = document.createElement('div');
  readonly #heights = new Heights();
  readonly #watcher: ResizeObserver;
  readonly #stop = new AbortController();
  #rows: Row[] = [];
  #frame = 0;
  #orderTimer = 0;
  #lineHeight = 20;
  #columns = 100;
  #height = 0;
  #origin = 0;
  #scale = 1;
  #setTop = 0;
  #fresh = true;
  #seenEnd = 0;
  #query: RegExp | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly store: Store,
    oldPods: ReadonlySet<string>,
    private readonly paint: Paint,
    private readonly events: ViewEvents,
  ) {
    this.selection = new Selection(store, oldPods);
    this.search = new Search(store, this.selection);
    this.#space.className = 'space';
    this.#sheet.className = 'sheet';
    this.#probe.className = 'r probe';
    this.#probe.textContent = '0'.repeat(100);
    host.replaceChildren(this.#space, this.#sheet, this.#probe);
    this.#watcher = new ResizeObserver(() => this.#measure());
    this.#watcher.observe(host);
    const { signal } = this.#stop;
    host.addEventListener('scroll', () => this.#scrolled(), { passive: true, signal });
    host.addEventListener('wheel', (event) => event.deltaY < 0 && this.setFollow(false), { passive: true, signal });
    host.addEventListener('click', (event) => this.#clicked(event, false), { signal });
    host.addEventListener('dblclick', (event) => this.#clicked(event, true), { signal });
    document.addEventListener('selectionchange', () => this.#selected(), { signal });
    this.#measure();
  }

  destroy(): void {
    this.#stop.abort();
    this.#watcher.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#orderTimer);
    this.host.replaceChildren();
  }

  /** Something changed; the next frame draws it. */
  mark(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  /** Everything on screen is to be filled anew (theme of times, colours, names). */
  refresh(): void {
    this.#fresh = true;
    this.mark();
  }

  /** Rows were appended. */
  appended(): void {
    if (!this.follow) {
      for (let id = Math.max(this.#seenEnd, this.store.first); id < this.store.end; id++) {
        if (this.store.kind(id) !== LINE) continue;
        this.missedLines++;
        if (this.store.level(id) >= ERROR) this.missedErrors++;
      }
    }
    this.#seenEnd = this.store.end;
    this.mark();
  }

  setFollow(on: boolean): void {
    if (this.follow === on) return;
    this.follow = on;
    this.missedLines = 0;
    this.missedErrors = 0;
    this.mark();
    this.events.changed();
  }

  setWrap(on: boolean): void {
    if (this.wrap === on) return;
    const anchor = this.#anchor();
    this.wrap = on;
    this.host.classList.toggle('wrap', on);
    this.#rebuild();
    this.#restore(anchor);
    this.refresh();
  }

  setFilter(filter: Filter): void {
    const anchor = this.#anchor();
    this.selection.set(filter);
    this.search.restart();
    this.#rebuild();
    this.#restore(anchor);
    this.refresh();
  }

  setQuery(query: string): void {
    if (query === this.search.query) return;
    this.search.set(query);
    this.#query = highlighter(query);
    this.refresh();
    this.events.changed();
  }

  /** Goes to the next (1) or previous (-1) hit from the cursor; wraps around at the ends. */
  jump(direction: 1 | -1): void {
    // Enter may come before the frame that would have looked.
    this.search.scan(JUMP_BUDGET_MS, () => performance.now());
    const { hits } = this.search;
    if (hits.length === 0) return;
    const from = this.cursor >= 0 ? this.cursor : this.selection.id(this.#firstShown()) - direction;
    const next = direction > 0 ? hits.find((id) => id > from) : hits.findLast((id) => id < from);
    this.goTo(next ?? (direction > 0 ? hits[0] : hits[hits.length - 1]) ?? -1);
  }

  /** Goes to the next or previous error. */
  jumpError(direction: 1 | -1): void {
    const { store, selection } = this;
    const start = this.cursor >= 0 ? selection.indexOf(this.cursor) + direction : direction > 0 ? this.#firstShown() : selection.length - 1;
    const { length } = selection;
    for (let n = 0; n < length; n++) {
      const id = selection.id((((start + n * direction) % length) + length) % length);
      if (store.kind(id) === LINE && store.level(id) >= ERROR) return this.goTo(id);
    }
  }

  /** Which hit the cursor stands on, from 1; 0 if on none. */
  get hitNumber(): number {
    return this.search.hits.indexOf(this.cursor) + 1;
  }

  move(by: number): void {
    const { selection } = this;
    if (selection.length === 0) return;
    const from = this.cursor >= 0 ? selection.indexOf(this.cursor) : this.follow ? selection.length : this.#firstShown() - 1;
    this.goTo(selection.id(Math.max(0, Math.min(selection.length - 1, from + by))));
  }

  /** Puts the cursor on a row and brings it into sight. */
  goTo(id: number): void {
    if (!this.store.has(id)) return;
    this.setFollow(false);
    this.cursor = id;
    const top = this.#offset(this.selection.indexOf(id));
    const position = this.host.scrollTop * this.#scale;
    if (top < position + this.#lineHeight || top > position + this.#height - 2 * this.#lineHeight) {
      this.#scrollTo(top - this.#height / 2.5);
    }
    this.refresh();
    this.events.changed();
  }

  /** Goes to the first row at or after a time. */
  goToTime(ms: number): void {
    const { selection, store } = this;
    let low = 0;
    let high = selection.length;
    // Times rise but for skew between nodes: near enough for a jump.
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (store.time(selection.id(middle)) < ms) low = middle + 1;
      else high = middle;
    }
    if (selection.length > 0) this.goTo(selection.id(Math.min(low, selection.length - 1)));
  }

  /** Goes to a part of the whole, 0 to 1. */
  goToPart(part: number): void {
    this.setFollow(false);
    this.#scrollTo(part * this.#total() - this.#height / 2);
    this.mark();
  }

  toStart(): void {
    this.setFollow(false);
    this.#scrollTo(0);
    this.mark();
  }

  // === drawing ===

  #draw(): void {
    this.#frame = 0;
    const gone = this.selection.update();
    if (this.#sync(gone) && !this.follow && gone > 0) this.#scrollTo(this.host.scrollTop * this.#scale - gone * this.#lineHeight);
    const wasHits = this.search.hits.length;
    this.search.scan(SEARCH_BUDGET_MS, () => performance.now());
    // Measuring wrapped rows may move what is shown; the estimates are good, so it settles at once.
    for (let pass = 0; pass < 3; pass++) if (!this.#layout()) break;
    this.#fresh = false;
    if (!this.search.done) this.mark();
    if (this.search.hits.length !== wasHits) this.events.changed();
    if (!this.follow) this.#orderSoon();
  }

  /** One pass over what is in sight; true if measuring moved something. */
  #layout(): boolean {
    const total = this.#total();
    const spacer = Math.min(total, MAX_HEIGHT);
    this.#scale = spacer > this.#height && total > spacer ? (total - this.#height) / (spacer - this.#height) : 1;
    const height = `${spacer}px`;
    if (this.#space.style.height !== height) this.#space.style.height = height;
    if (this.follow) this.#scrollTo(total - this.#height);
    const scrollTop = this.host.scrollTop;
    const position = Math.max(0, scrollTop * this.#scale);
    const { length } = this.selection;
    const first = Math.max(0, this.#indexAt(position) - OVERSCAN);
    this.#placeSheet(position, position - scrollTop);
    const need = Math.ceil(this.#height / this.#lineHeight) + 2 * OVERSCAN + 2;
    while (this.#rows.length < need) {
      const row = new Row();
      this.#rows.push(row);
      this.#sheet.append(row.element);
    }
    const pool = this.#rows.length;
    const filled: Row[] = [];
    let top = this.#offset(first);
    let last = first;
    for (let index = first; index < length && index < first + pool; index++) {
      const row = this.#rows[index % pool];
      if (!row) break;
      const id = this.selection.id(index);
      const lines = this.wrap ? this.#heights.at(index) : 1;
      if (top > position + this.#height + OVERSCAN * this.#lineHeight) break;
      if (row.id !== id || this.#fresh) {
        row.show(true);
        row.fill(this.store, id, id === this.cursor, { ...this.paint, query: this.#query });
        filled.push(row);
      }
      row.place(index, top - this.#origin);
      top += lines * this.#lineHeight;
      last = index + 1;
    }
    for (const row of this.#rows) if (row.index < first || row.index >= last) row.show(false);
    return this.wrap && this.#remeasure(filled, position);
  }

  /** Rows stand at small offsets in a sheet that itself stands where it is needed. */
  #placeSheet(position: number, shift: number): void {
    if (this.#scale !== 1) this.#origin = Math.floor(position);
    else if (position < this.#origin || position > this.#origin + SHEET_REACH) {
      this.#origin = Math.floor(position / SHEET_REACH) * SHEET_REACH;
    }
    const top = `${Math.round(this.#origin - shift)}px`;
    if (this.#sheet.style.top !== top) this.#sheet.style.top = top;
  }

  #remeasure(rows: Row[], position: number): boolean {
    let above = 0;
    let moved = false;
    const edge = this.#indexAt(position);
    for (const row of rows) {
      const lines = Math.max(1, Math.round(row.element.offsetHeight / this.#lineHeight));
      const off = this.#heights.set(row.index, lines);
      if (off === 0) continue;
      moved = true;
      if (row.index < edge) above += off;
    }
    if (above !== 0 && !this.follow) this.#scrollTo(position + above * this.#lineHeight);
    this.#fresh = false;
    return moved;
  }

  /** Takes new rows into the heights; true if the index of every row shifted. */
  #sync(gone: number): boolean {
    if (gone > 0) {
      this.#rebuild();
      this.#fresh = true;
      return true;
    }
    if (this.wrap) for (let i = this.#heights.length; i < this.selection.length; i++) this.#heights.push(this.#estimate(i));
    return false;
  }

  #rebuild(): void {
    this.#heights.clear();
    if (!this.wrap) return;
    this.selection.update();
    for (let i = 0; i < this.selection.length; i++) this.#heights.push(this.#estimate(i));
  }

  #estimate(index: number): number {
    const id = this.selection.id(index);
    const length = Math.min(SHOWN_CHARS, this.store.bytesOf(id).length);
    return Math.max(1, Math.ceil(length / this.#columns));
  }

  #measure(): void {
    const style = getComputedStyle(this.#probe);
    this.#lineHeight = Number.parseFloat(style.lineHeight) || 20;
    const width = this.#probe.firstChild ? textWidth(this.#probe) / 100 : 7.5;
    this.#height = this.host.clientHeight;
    const gutter = Number.parseFloat(getComputedStyle(this.host).getPropertyValue('--gutter')) || 300;
    const columns = Math.max(8, Math.floor((this.host.clientWidth - gutter) / width));
    if (columns !== this.#columns) {
      this.#columns = columns;
      this.#rebuild();
    }
    this.refresh();
  }

  // === positions ===

  #total(): number {
    return (this.wrap ? this.#heights.total : this.selection.length) * this.#lineHeight;
  }

  #offset(index: number): number {
    return (this.wrap ? this.#heights.offset(index) : index) * this.#lineHeight;
  }

  #indexAt(position: number): number {
    const line = Math.floor(position / this.#lineHeight);
    return this.wrap ? this.#heights.rowAt(line) : Math.min(line, Math.max(0, this.selection.length - 1));
  }

  #firstShown(): number {
    return this.#indexAt(this.host.scrollTop * this.#scale + this.#lineHeight / 2);
  }

  #anchor(): number {
    return this.selection.length > 0 ? this.selection.id(this.#firstShown()) : 0;
  }

  #restore(anchor: number): void {
    if (!this.follow) this.#scrollTo(this.#offset(this.selection.indexOf(anchor)));
  }

  #scrollTo(position: number): void {
    const top = Math.max(0, position) / this.#scale;
    const spacer = Math.min(this.#total(), MAX_HEIGHT);
    this.#space.style.height = `${spacer}px`;
    if (Math.abs(this.host.scrollTop - top) > 0.5) this.host.scrollTop = top;
    this.#setTop = this.host.scrollTop;
  }

  // === the reader's hands ===

  #scrolled(): void {
    const top = this.host.scrollTop;
    if (Math.abs(top - this.#setTop) > 1) {
      // Upward and yet at the end: not the reader, the box grew or rows went, and the browser moved.
      const atEnd = top + this.host.clientHeight >= this.host.scrollHeight - 1;
      if (atEnd && top > this.#setTop) this.setFollow(true);
      else if (!atEnd && top < this.#setTop) this.setFollow(false);
      this.#setTop = top;
    }
    this.mark();
  }

  #clicked(event: MouseEvent, open: boolean): void {
    const element = (event.target as Element).closest('.r');
    const row = this.#rows.find((candidate) => candidate.element === element);
    if (!row || row.id < 0) return;
    if (!open && !(getSelection()?.isCollapsed ?? true)) return;
    this.cursor = row.id;
    if (open) {
      getSelection()?.removeAllRanges();
      this.setFollow(false);
      this.events.open(row.id);
    }
    this.refresh();
    this.events.changed();
  }

  #selected(): void {
    const selection = getSelection();
    if (this.follow && selection && !selection.isCollapsed && this.host.contains(selection.anchorNode)) this.setFollow(false);
  }

  /** Recycling leaves the rows in any order; whoever reads or copies them wants them in order. */
  #orderSoon(): void {
    clearTimeout(this.#orderTimer);
    this.#orderTimer = window.setTimeout(() => {
      const selection = getSelection();
      if (selection && !selection.isCollapsed) return;
      this.#sheet.append(...this.#rows.toSorted((a, b) => a.index - b.index).map((row) => row.element));
    }, 250);
  }
}

function textWidth(element: Element): number {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect().width;
}
