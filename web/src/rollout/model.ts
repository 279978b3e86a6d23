// What the timeline knows: each pod's phases over time, lines per second, and the newest state of
// the rollout. Fed by the stream's changes.

import type { Pod, PodPhase, Side } from '../api/types';
import { LINE, ERROR, type Batch } from '../log/batch';

export interface Segment {
  from: number;
  /** Null while it lasts. */
  to: number | null;
  phase: PodPhase;
}

export interface Mark {
  at: number;
  glyph: '↻' | '✗' | '■';
  what: string;
}

export interface PodBar {
  pod: Pod;
  side: Side;
  segments: Segment[];
  marks: Mark[];
  /** The pod as it was told, by time. */
  seen: Pod[];
}

/** Gone pods beyond this are forgotten, oldest first. */
const MAX_PODS = 2_000;
/** Observations and marks a pod, so that a crash loop of days does not grow for ever. */
const MAX_SEEN = 256;
/** Seconds of line counts that are kept. */
const MAX_SECONDS = 3_600;

export class RolloutModel {
  readonly pods = new Map<string, PodBar>();
  readonly oldPods = new Set<string>();
  /** Second since 1970 to lines and errors. */
  readonly rates = new Map<number, [lines: number, errors: number]>();

  #unconfirmed: Set<string> | null = null;

  /** A connection began: a snapshot of all pods follows, and who is not in it is gone. */
  beginSnapshot(): void {
    this.#unconfirmed = new Set(this.pods.keys());
  }

  /** The snapshot and history were read. */
  endSnapshot(now: number): void {
    for (const name of this.#unconfirmed ?? []) {
      const bar = this.pods.get(name);
      if (bar && bar.pod.phase !== 'gone') this.#take(bar, { ...bar.pod, phase: 'gone', ready: false, time: new Date(now).toISOString() }, now);
    }
    this.#unconfirmed = null;
  }

  pod(pod: Pod): void {
    this.#unconfirmed?.delete(pod.pod);
    const at = Date.parse(pod.time);
    let bar = this.pods.get(pod.pod);
    if (!bar) {
      bar = { pod, side: pod.side, segments: [], marks: [], seen: [] };
      this.pods.set(pod.pod, bar);
      this.#forget();
    }
    bar.side = pod.side;
    if (pod.side === 'old') this.oldPods.add(pod.pod);
    else this.oldPods.delete(pod.pod);
    this.#take(bar, pod, at);
  }

  lines(batch: Batch): void {
    for (let i = 0; i < batch.rows; i++) {
      if (batch.kinds[i] !== LINE) continue;
      const second = Math.floor((batch.times[i] ?? 0) / 1_000);
      let rate = this.rates.get(second);
      if (!rate) {
        rate = [0, 0];
        this.rates.set(second, rate);
        if (this.rates.size > MAX_SECONDS) {
          const oldest = this.rates.keys().next();
          if (!oldest.done) this.rates.delete(oldest.value);
        }
      }
      rate[0]++;
      if ((batch.levels[i] ?? 0) >= ERROR) rate[1]++;
    }
  }

  /** One observation, at its place in time: after a snapshot of how things stand, history may tell
   * how they came to be so. */
  #take(bar: PodBar, pod: Pod, at: number): void {
    let place = bar.seen.length;
    while (place > 0 && timeOfPod(bar.seen[place - 1]) > at) place--;
    const twin = bar.seen[place - 1];
    // The snapshot and the event that made it so: one observation.
    if (twin && timeOfPod(twin) === at && twin.phase === pod.phase && twin.restarts === pod.restarts) bar.seen.splice(--place, 1);
    const before = bar.seen[place - 1];
    if (before) markContainers(bar.marks, before, pod, at);
    if (place === bar.seen.length) bar.pod = pod;
    bar.seen.splice(place, 0, pod);
    if (bar.seen.length > MAX_SEEN) bar.seen.shift();
    if (bar.marks.length > MAX_SEEN) bar.marks.shift();
    bar.segments = segmentsOf(bar.seen);
  }

  #forget(): void {
    if (this.pods.size <= MAX_PODS) return;
    for (const [name, bar] of this.pods) {
      if (bar.pod.phase !== 'gone') continue;
      this.pods.delete(name);
      this.oldPods.delete(name);
      return;
    }
  }
}

const timeOfPod = (pod: Pod | undefined): number => (pod ? Date.parse(pod.time) : Number.NEGATIVE_INFINITY);

/** Each phase lasts until the next observation of another one, or of another pod of the same name. */
function segmentsOf(seen: Pod[]): Segment[] {
  const made: Segment[] = [];
  let uid: string | null | undefined;
  for (const pod of seen) {
    const at = timeOfPod(pod);
    const last = made.at(-1);
    if (last && last.to === null) {
      if (last.phase === pod.phase && uid === pod.uid) continue;
      last.to = at;
    }
    if (pod.phase !== 'gone') made.push({ from: at, to: null, phase: pod.phase });
    uid = pod.uid;
  }
  return made;
}

function markContainers(marks: Mark[], before: Pod, pod: Pod, at: number): void {
  if (before.uid !== pod.uid) return;
  for (const container of pod.containers ?? []) {
    const was = before.containers?.find((other) => other.name === container.name);
    if (!was) continue;
    if ((container.attempt ?? 1) > (was.attempt ?? 1)) {
      marks.push({ at, glyph: '↻', what: `${container.name} started again, attempt ${container.attempt}` });
    } else if (container.exit_code === 0 && container.kind === 'init') {
      // What it is there for; the next phase shows it.
    } else if (was.state === 'running' && container.state !== 'running' && pod.phase !== 'terminating' && pod.phase !== 'gone') {
      const code = typeof container.exit_code === 'number' ? ` with code ${container.exit_code}` : '';
      marks.push({ at, glyph: container.exit_code === 0 ? '■' : '✗', what: `${container.name} exited${code}` });
    }
  }
}
