// One line in full: exact time, where it came from, its whole text, its JSON laid out.

import { useEffect, useRef } from 'preact/hooks';
import { fullTime } from '../format';
import { LINE, LOSSY, NO_SOURCE, PARTIAL, PARTIAL_HEAD, TRUNCATED } from '../log/batch';
import { paintText } from '../log/row';
import type { Store } from '../log/store';

/** JSON larger than this stays as it came: laying it out would cost more than it helps. */
const MAX_JSON_CHARS = 200_000;

export function Details({ store, id, onClose }: { store: Store; id: number; onClose(): void }) {
  const text = useRef<HTMLPreElement>(null);
  const held = store.has(id);
  useEffect(() => {
    if (!text.current) return;
    const raw = store.text(id);
    const json = pretty(raw);
    paintText(text.current, json ?? raw, json ? null : store.spans(id), null);
  }, [id, held]);
  if (!held) return null;
  const source = store.sourceIndex(id) === NO_SOURCE ? undefined : store.source(id);
  const flags = store.flags(id);
  const notes = [
    flags & PARTIAL_HEAD ? 'its beginning may be missing' : '',
    flags & TRUNCATED ? 'cut at the size limit' : '',
    flags & LOSSY ? 'held invalid UTF-8, which was replaced' : '',
    flags & PARTIAL ? 'has no line end' : '',
  ].filter(Boolean);
  return (
    <aside class="details" aria-label="The line in full">
      <div class="dh">
        <b>{fullTime(store.time(id))}</b>
        {source && <span>{source.pod}{source.container && `/${source.container}`}{store.kind(id) === LINE && `, attempt ${source.attempt}`}</span>}
        {notes.length > 0 && <span class="note">{notes.join(' · ')}</span>}
        <span class="grow" />
        <button type="button" class="tag" onClick={() => void navigator.clipboard?.writeText(store.text(id)).catch(() => {})}>copy</button>
        <button type="button" class="tag" onClick={onClose}>close <kbd aria-hidden="true">Esc</kbd></button>
      </div>
      <pre ref={text} tabindex={0} />
    </aside>
  );
}

export function pretty(text: string): string | null {
  if (text.length > MAX_JSON_CHARS || !/^\s*[{[]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  // Laid out by its own bytes: numbers beyond 2^53 and repeated names stay what they are.
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{[]|[}\]]|,|:|\s+/g, (token) => {
    const first = token[0] ?? '';
    if (first === '"' || (token.length > 1 && (first === '{' || first === '['))) return token;
    if (first === '{' || first === '[') return depth++, token + line();
    if (first === '}' || first === ']') return depth--, line() + token;
    return first === ',' ? token + line() : first === ':' ? ': ' : '';
  });
}
