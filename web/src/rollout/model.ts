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
}

/** Gone pods beyond this are forgotten, oldest first. */
const MAX_PODS = 2_000;
/** Segments and marks a pod, so that a crash loop of days does not grow for ever. */
const MAX_SEGMENTS = 256;
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
      if (bar && bar.pod.phase !== 'gone') this.#advance(bar, { ...bar.pod, phase: 'gone', ready: false }, now);
    }
    this.#unconfirmed = null;
  }

  pod(pod: Pod): void {
    this.#unconfirmed?.delete(pod.pod);
    const at = Date.parse(pod.time);
    let bar = this.pods.get(pod.pod);
    if (bar && bar.pod.uid !== pod.uid && pod.uid && bar.pod.uid) {
      // A StatefulSet's next pod of the same name: the bar goes on with a break.
      const last = bar.segments.at(-1);
      if (last && last.to === null) last.to = at;
    }
    if (!bar) {
      bar = { pod, side: pod.side, segments: [], marks: [] };
      this.pods.set(pod.pod, bar);
      this.#forget();
    }
    bar.side = pod.side;
    if (pod.side === 'old') this.oldPods.add(pod.pod);
    else this.oldPods.delete(pod.pod);
    this.#markContainers(bar, pod, at);
    this.#advance(bar, pod, at);
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

  #advance(bar: PodBar, pod: Pod, at: number): void {
    bar.pod = pod;
    const last = bar.segments.at(-1);
    if (pod.phase === 'gone') {
      if (last && last.to === null) last.to = at;
      return;
    }
    if (last && last.to === null) {
      if (last.phase === pod.phase) return;
      last.to = Math.max(last.from, at);
    }
    bar.segments.push({ from: at, to: null, phase: pod.phase });
    if (bar.segments.length > MAX_SEGMENTS) bar.segments.shift();
  }

  #markContainers(bar: PodBar, pod: Pod, at: number): void {
    for (const container of pod.containers ?? []) {
      const was = bar.pod.containers?.find((other) => other.name === container.name);
      if (!was || bar.pod === pod || bar.pod.uid !== pod.uid) continue;
      if ((container.attempt ?? 1) > (was.attempt ?? 1)) {
        bar.marks.push({ at, glyph: '↻', what: `${container.name} started again, attempt ${container.attempt}` });
      } else if (was.state === 'running' && container.state !== 'running' && pod.phase !== 'terminating' && pod.phase !== 'gone') {
        bar.marks.push({ at, glyph: container.exit_code === 0 ? '■' : '✗', what: `${container.name} exited${typeof container.exit_code === 'number' ? ` with code ${container.exit_code}` : ''}` });
      }
    }
    if (bar.marks.length > MAX_SEGMENTS) bar.marks.splice(0, bar.marks.length - MAX_SEGMENTS);
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
