// One word for how a workload stands: glyph, text and tone always go together.

import type { RolloutPhase } from '../api/types';

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
  stalled: { glyph: '✗', text: 'stalled', tone: 'bad' },
  complete: { glyph: '✓', text: 'ready', tone: 'ok' },
  scaled_to_zero: { glyph: '–', text: 'scaled to 0', tone: 'idle' },
  deleted: { glyph: '–', text: 'deleted', tone: 'idle' },
};

const FAILING: State = { glyph: '✗', text: 'failing', tone: 'bad' };
const UNKNOWN: State = { glyph: '?', text: 'unknown', tone: 'idle' };

/** `trouble` is whether something keeps new pods from starting: the server's sentence says so, or
 * the pods themselves do. */
export function stateOf(phase: string | null | undefined, trouble: boolean): State {
  if (trouble && (phase === 'progressing' || phase === 'waiting' || phase === 'complete')) return FAILING;
  if (phase && Object.hasOwn(STATES, phase)) return STATES[phase as RolloutPhase];
  return phase ? { ...UNKNOWN, text: phase.replaceAll('_', ' ') } : UNKNOWN;
}
