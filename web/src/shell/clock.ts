// The page's sense of now, in ms since 1970: once a second while somebody looks.

import { signal } from '@preact/signals';

export const now = signal(Date.now());

/** How far the server's clock is ahead, in ms. */
let ahead = 0;
/** After a second of the server began, so that a late or early timer skips and repeats none. */
const INTO_SECOND_MS = 50;

export function setAhead(ms: number): void {
  ahead = ms;
}

function tick(): void {
  if (!document.hidden) now.value = Date.now();
  const into = (((Date.now() + ahead) % 1_000) + 1_000) % 1_000;
  setTimeout(tick, 1_000 - into + INTO_SECOND_MS);
}

tick();
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) now.value = Date.now();
});
