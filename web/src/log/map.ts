// The strip beside the log: where errors and hits are in the whole of what is shown.

import type { LogView } from './view';

/** Marks beyond this are thinned out; they would only paint over each other. */
const MAX_MARKS = 20_000;

export function drawMap(canvas: HTMLCanvasElement, view: LogView, errors: readonly number[]): void {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  const wide = Math.round(width * ratio);
  const high = Math.round(height * ratio);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const pen = canvas.getContext('2d');
  if (!pen) return;
  pen.clearRect(0, 0, wide, high);
  const style = getComputedStyle(canvas);
  const { selection } = view;
  const rows = selection.length;
  if (rows === 0) return;
  const thick = Math.max(1, Math.round(2 * ratio));
  const paint = (ids: readonly number[], colour: string) => {
    pen.fillStyle = colour;
    const step = Math.max(1, Math.ceil(ids.length / MAX_MARKS));
    for (let i = 0; i < ids.length; i += step) {
      const id = ids[i] ?? -1;
      const index = selection.indexOf(id);
      if (selection.id(index) === id) pen.fillRect(Math.round(2 * ratio), Math.round((index / rows) * (high - thick)), wide, thick);
    }
  };
  paint(view.search.hits, style.getPropertyValue('--p-hit'));
  paint(errors, style.getPropertyValue('--p-fail'));
}
