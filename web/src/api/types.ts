// The wire's objects as the page reads them. Everything the server may leave out is optional here:
// unknown is null or absent, never 0 or "".

export type RolloutPhase =
  | 'waiting' | 'progressing' | 'paused' | 'waiting_for_delete' | 'stalled' | 'complete' | 'scaled_to_zero' | 'deleted' | 'unknown';

export type PodPhase =
  | 'unscheduled' | 'pulling' | 'init' | 'starting' | 'running' | 'ready' | 'failing' | 'succeeded'
  | 'terminating' | 'gone';

export type Side = 'new' | 'old';

export interface Workload {
  namespace: string;
  kind: string;
  name: string;
  uid?: string | null;
  phase?: RolloutPhase | null;
  desired?: number | null;
  updated?: number | null;
  ready?: number | null;
  revision?: string | null;
  images?: string[] | null;
  changed?: string | null;
  message?: string | null;
  /** New pods that cannot start, where the server says so. */
  failing?: number | null;
}

export interface Reason {
  code: string;
  message: string;
  pods?: string[] | null;
  certain?: boolean | null;
}

export interface Rollout {
  time: string;
  phase: RolloutPhase;
  revision?: string | null;
  previous?: string | null;
  images?: Record<string, { from?: string | null; to?: string | null }> | null;
  desired?: number | null;
  updated?: number | null;
  ready?: number | null;
  available?: number | null;
  old?: number | null;
  /** When it began, in whole seconds; null if that is not known. */
  started?: string | null;
  /** When it was over. */
  finished?: string | null;
  /** How long it ran when this was said, in whole seconds; final once it is over. */
  elapsed_ms?: number | null;
  deadline_ms?: number | null;
  by?: string | null;
  reasons?: Reason[] | null;
  message?: string | null;
}

export interface Container {
  name: string;
  kind?: string | null;
  state?: string | null;
  attempt?: number | null;
  reason?: string | null;
  exit_code?: number | null;
}

export interface Pod {
  time: string;
  pod: string;
  uid?: string | null;
  node?: string | null;
  revision?: string | null;
  side: Side;
  phase: PodPhase;
  phase_detail?: string | null;
  ready?: boolean | null;
  restarts?: number | null;
  reason?: string | null;
  message?: string | null;
  containers?: Container[] | null;
}

export interface LogLine {
  time: string;
  pod: string;
  container: string;
  attempt: number;
  side?: Side | null;
  level?: string | null;
  text: string;
  key?: string | null;
  truncated_bytes?: number | null;
  lossy?: boolean | null;
  /** No line end came before the clean end of the log. */
  partial?: boolean | null;
  /** The first that could be read; its beginning may be missing. */
  partial_head?: boolean | null;
}

export interface KubeEvent {
  time: string;
  type: string;
  reason: string;
  message: string;
  object?: { kind: string; name: string } | null;
  count?: number | null;
}

export interface SourceChange {
  time: string;
  pod: string;
  container: string;
  attempt: number;
  state: 'waiting' | 'following' | 'ended';
  from_start?: boolean | null;
  complete?: boolean | null;
  lines?: number | null;
  reason?: string | null;
}

export interface Gap {
  time: string;
  reason: string;
  /** In a stream over several workloads. */
  workload?: string | null;
  pod?: string | null;
  container?: string | null;
  attempt?: number | null;
  from?: string | null;
  to?: string | null;
  count?: number | null;
}

export interface Result {
  time: string;
  outcome: 'succeeded' | 'failed' | 'timed_out' | 'superseded' | 'deleted' | 'unknown';
  revision?: string | null;
  duration_ms?: number | null;
  reason?: string | null;
  message?: string | null;
}

export interface Hello {
  epoch: string;
  resumed: 'none' | 'exact' | 'approximate';
  heartbeat_ms?: number | null;
  ends_at?: string | null;
}

export interface Bye {
  reason: string;
  retry_ms?: number | null;
}

export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  request_id?: string;
}
