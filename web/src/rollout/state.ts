// One word for how a workload stands: glyph, text and tone always go together.

import type { Rollout, RolloutPhase } from '../api/types';

export type Tone = 'ok' | 'bad' | 'warn' | 'idle';

export interface State {
  glyph: string;
  text: string;
  tone: Tone;
}

const STATES: Record<RolloutPhase, State> = {
  waiting: { glyph: '…', text: 'waiting', tone: 'idle' },
  progressing: { glyph: '↻', text: 'rolling out', tone: 'warn' },
  paused: { glyph: '‖', text: 'paused', tone: 'warn' },
  waiting_for_delete: { glyph: '‖', text: 'waits for old pods to be deleted', tone: 'warn' },
  stalled: { glyph: '✗', text: 'stalled', tone: 'bad' },
  complete: { glyph: '✓', text: 'ready', tone: 'ok' },
  scaled_to_zero: { glyph: '–', text: 'scaled to 0', tone: 'idle' },
  deleted: { glyph: '–', text: 'deleted', tone: 'idle' },
  unknown: { glyph: '?', text: 'unknown', tone: 'idle' },
};

const NOT_READY: State = { glyph: '◐', text: 'not ready', tone: 'warn' };
const FAILING: State = { glyph: '✗', text: 'failing', tone: 'bad' };
const UNKNOWN: State = { glyph: '?', text: 'unknown', tone: 'idle' };

/** `trouble` is whether something keeps new pods from starting: the server's sentence says so, or
 * the pods themselves do. A rollout that is complete stays so when its pods stop being ready, so
 * that word is not enough: nothing is called ready while a pod that is asked for is not. */
export function stateOf(phase: string | null | undefined, trouble: boolean, pods?: Pick<Rollout, 'ready' | 'desired'> | null): State {
  if (trouble && (phase === 'progressing' || phase === 'waiting' || phase === 'complete')) return FAILING;
  if (phase === 'complete' && pods && (pods.ready ?? 0) < (pods.desired ?? 0)) return NOT_READY;
  if (phase && Object.hasOwn(STATES, phase)) return STATES[phase as RolloutPhase];
  return phase ? { ...UNKNOWN, text: phase.replaceAll('_', ' ') } : UNKNOWN;
}

const OVER: readonly string[] = ['complete', 'scaled_to_zero', 'deleted'];

/** Whether a rollout's time still runs. */
export const runs = (rollout: Rollout): boolean => !rollout.finished && !OVER.includes(rollout.phase);

/** How long a rollout has run at `now`, or took, in ms; null if unknown. In whole seconds of the
 * server's clock, as the server counts: a fraction of another clock would make it jump. */
export function elapsedOf(rollout: Rollout, now: number): number | null {
  const told = rollout.elapsed_ms ?? null;
  if (!runs(rollout) || !rollout.started) return told;
  const second = (ms: number) => Math.floor(ms / 1_000) * 1_000;
  // What it was when it was said, it is at least.
  return Math.max(0, told ?? 0, second(now) - second(Date.parse(rollout.started)));
}
