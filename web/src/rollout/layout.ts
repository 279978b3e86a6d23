// Where everything stands in the timeline: pure geometry, no DOM.

import type { PodPhase, Side } from '../api/types';
import type { PodBar, RolloutModel } from './model';

/** A lane shows this many pods; the others are counted. */
export const LANE_ROWS = 6;

/** The least and greatest stretch of time shown, in ms. */
const MIN_SPAN = 60_000;
const MAX_SPAN = 15 * 60_000;

/** The stretch of time to show: from a little before the rollout began, or the last minutes. */
export function windowOf(model: RolloutModel, now: number, rolloutStart: number | null): [from: number, to: number] {
  let from = now - 5 * 60_000;
  if (rolloutStart !== null && now - rolloutStart < MAX_SPAN) from = rolloutStart - Math.max(5_000, (now - rolloutStart) * 0.06);
  else {
    // Nothing to see before the first change that this page knows.
    let first = now;
    for (const bar of model.pods.values()) {
      for (const segment of bar.segments) if (segment.from > from) first = Math.min(first, segment.from);
    }
    for (const second of model.rates.keys()) first = Math.min(first, second * 1_000);
    from = Math.max(from, first - 5_000);
  }
  return [Math.max(now - MAX_SPAN, Math.min(from, now - MIN_SPAN)), now];
}

/** Ticks at round times, at most about `most`. */
export function ticks(from: number, to: number, most: number): Array<{ at: number; whole: boolean }> {
  const step = [5, 10, 15, 30, 60, 120, 300, 600].find((s) => (to - from) / (s * 1_000) <= most) ?? 600;
  const made = [];
  for (let at = Math.ceil(from / (step * 1_000)) * step * 1_000; at <= to; at += step * 1_000) made.push({ at, whole: at % 60_000 === 0 });
  return made;
}

export interface Lane {
  side: Side;
  revision: string | null;
  bars: PodBar[];
  /** What did not fit, such as `10 ready, 2 terminating`. */
  rest: string;
}

const URGENCY: Partial<Record<PodPhase, number>> = { failing: 0, terminating: 2, ready: 3, succeeded: 4, gone: 5 };

/** The pods of one side that were there in the window; the failing ones first if not all fit. */
export function laneOf(model: RolloutModel, side: Side, from: number): Lane {
  const there = [...model.pods.values()].filter((bar) => {
    if (bar.side !== side) return false;
    const last = bar.segments.at(-1);
    return last !== undefined && (last.to === null || last.to > from);
  });
  const begun = (bar: PodBar) => bar.segments[0]?.from ?? 0;
  let bars = there;
  let rest = '';
  if (there.length > LANE_ROWS) {
    const urgency = (bar: PodBar) => URGENCY[bar.pod.phase] ?? 1;
    const ranked = there.toSorted((a, b) => urgency(a) - urgency(b) || begun(b) - begun(a));
    bars = ranked.slice(0, LANE_ROWS);
    const counts = new Map<string, number>();
    for (const bar of ranked.slice(LANE_ROWS)) counts.set(bar.pod.phase, (counts.get(bar.pod.phase) ?? 0) + 1);
    rest = [...counts].map(([phase, n]) => `${n} ${phase}`).join(', ');
  }
  bars = bars.toSorted((a, b) => begun(a) - begun(b) || (a.pod.pod < b.pod.pod ? -1 : 1));
  const revision = bars.find((bar) => bar.pod.phase !== 'gone')?.pod.revision ?? bars[0]?.pod.revision ?? null;
  return { side, revision, bars, rest };
}
