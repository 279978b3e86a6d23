// The list of workloads, kept fresh by asking again while somebody looks.

import { signal } from '@preact/signals';
import { asked, backoff } from '../stream/link';
import { HttpError, getJson, token } from './http';
import type { Workload } from './types';

export type ListState =
  | { state: 'loading' }
  | { state: 'live' }
  | { state: 'stale'; until: number; why: string }
  | { state: 'signed_out' }
  | { state: 'refused'; why: string };

export const workloads = signal<Workload[]>([]);
export const listState = signal<ListState>({ state: 'loading' });

const EVERY_MS = 2_000;
/** Pages that are followed; a cursor that never ends must not either. */
const MAX_PAGES = 100;

/** Begins asking; returns what stops it. */
export function watchWorkloads(): () => void {
  const stop = new AbortController();
  let timer = 0;
  let failures = 0;
  let busy = false;
  /** Not before then: the server asked for it. */
  let until = 0;

  const again = (ms: number) => {
    clearTimeout(timer);
    timer = window.setTimeout(run, ms);
  };

  async function run(): Promise<void> {
    if (busy || document.hidden || stop.signal.aborted) return;
    if (Date.now() < until) return again(until - Date.now());
    busy = true;
    try {
      const found = await readAll(stop.signal);
      failures = 0;
      workloads.value = keepSame(workloads.value, found);
      listState.value = { state: 'live' };
      again(EVERY_MS);
    } catch (error) {
      if (stop.signal.aborted) return;
      if (error instanceof HttpError && error.status === 401) {
        listState.value = { state: 'signed_out' };
        return;
      }
      if (error instanceof HttpError && error.status < 500 && error.status !== 429) {
        listState.value = { state: 'refused', why: error.message };
        return;
      }
      const wish = error instanceof HttpError ? error.retryAfterMs : null;
      const ms = wish === null ? backoff(1_000, failures++, Math.random()) : asked(wish, Math.random());
      if (wish !== null) until = Date.now() + ms;
      const why = error instanceof HttpError ? error.message : 'the server cannot be reached';
      listState.value = { state: 'stale', until: Date.now() + ms, why };
      again(ms);
    } finally {
      busy = false;
    }
  }

  const look = () => {
    if (!document.hidden) void run();
  };
  document.addEventListener('visibilitychange', look, { signal: stop.signal });
  window.addEventListener('online', look, { signal: stop.signal });
  const forget = token.subscribe(() => {
    failures = 0;
    until = 0;
    void run();
  });
  return () => {
    stop.abort();
    clearTimeout(timer);
    forget();
  };
}

async function readAll(signal: AbortSignal): Promise<Workload[]> {
  const found: Workload[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page++) {
    const path: string = cursor === null ? '/api/v1/workloads' : `/api/v1/workloads?next=${encodeURIComponent(cursor)}`;
    const answer: { workloads: Workload[]; next?: string | null } = await getJson(path, signal);
    found.push(...answer.workloads);
    cursor = answer.next ?? null;
    if (cursor === null) break;
  }
  return found;
}

export const idOf = (workload: Workload): string => `${workload.namespace}/${workload.kind}/${workload.name}`;

/** Items that did not change stay the same objects, so that their rows are not drawn again. */
export function keepSame(before: Workload[], now: Workload[]): Workload[] {
  const known = new Map(before.map((item) => [idOf(item), item]));
  let changed = before.length !== now.length;
  const kept = now.map((item, index) => {
    const old = known.get(idOf(item));
    const same = old !== undefined && JSON.stringify(old) === JSON.stringify(item);
    if (!same || before[index] !== old) changed = true;
    return same ? old : item;
  });
  return changed ? kept : before;
}
