// What screen readers are told: a sentence at a time, never the log itself.

import { signal } from '@preact/signals';

const said = signal('');
/** At most one sentence in this time, except for what the reader asked for. */
const EVERY_MS = 5_000;
let last = 0;

export function announce(sentence: string, urgent = false): void {
  const now = performance.now();
  if (!urgent && now - last < EVERY_MS) return;
  last = now;
  said.value = sentence;
}

export const Status = () => <div class="sr" role="status" aria-live="polite">{said}</div>;
