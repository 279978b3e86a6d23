// Turns events of the stream into rows for the log and changes for the rest of the page.

import type { Gap, Hello, KubeEvent, LogLine, Pod, Result, Rollout, SourceChange } from '../api/types';
import { split } from '../log/ansi';
import { BatchBuilder, ERROR, EVENT, GAP, LINE, LOSSY, NO_SOURCE, NOTE, OLD_SIDE, PARTIAL, PARTIAL_HEAD, POD, SOURCE, TRUNCATED, WARN, levelOf, timeOf } from '../log/batch';
import { tellEvent, tellGap, tellPod, tellResult, tellRollout, tellSource } from './tell';
import { SeenKeys, hash } from './seen';
import type { SseEvent } from './sse';

/** A change of state, beside the rows. */
export type Change =
  | { type: 'hello'; hello: Hello }
  | { type: 'rollout'; rollout: Rollout }
  | { type: 'pod'; pod: Pod }
  | { type: 'result'; result: Result }
  /** How far the server's clock is ahead of this machine's, in ms. */
  | { type: 'clock'; ahead: number };

/** At most this many gone pods are remembered, to tell what changed about them. */
const MAX_PODS = 5_000;
/** A clock that seems to fall back by less was seen through a slow answer; by more, it was set. */
const CLOCK_SET_MS = 10_000;

/** How far the server's clock is ahead, from what was known and a time it sent just now. What is under
 * way for long looks like a clock that is behind: the greatest is the nearest to the truth. */
export const clockAhead = (was: number | null, seen: number): number =>
  was === null || seen > was || seen < was - CLOCK_SET_MS ? seen : was;

export class Decoder {
  readonly batch = new BatchBuilder();
  changes: Change[] = [];
  /** Lines dropped because they had been shown before an approximate resume. */
  dropped = 0;

  #kind: string;
  #seen = new SeenKeys();
  #helloId = '';
  #began = false;
  #ahead: number | null = null;
  /** The state that each source was last told to be in, and why, by its number. */
  #sources: string[] = [];
  /** Pods as their last events told them, and as the connection's snapshot did. */
  #pods = new Map<string, Pod>();
  #standing = new Map<string, Pod>();
  #rollout: Rollout | undefined;

  constructor(kind: string) {
    this.#kind = kind;
  }

  /** `resuming` is whether this connection sent an id. Returns hello and bye for the link. */
  hello(event: SseEvent, resuming: boolean, now: number): Hello {
    const hello = JSON.parse(event.data) as Hello;
    this.#helloId = event.id;
    this.#standing.clear();
    if (resuming && hello.resumed !== 'exact') this.#seen.overlap();
    if (resuming && this.#began) {
      const at = now + (this.#ahead ?? 0);
      // In the middle of what a restart repeats: that was told when it began.
      const goesOn = event.id.startsWith(`${hello.epoch}-`) && event.id.split('-').length > 3;
      if (hello.resumed === 'approximate' && !goesOn) {
        // What it could not read again it says itself, with gaps.
        this.batch.add(NOTE, at, 0, 0, NO_SOURCE, '◆ the server was restarted or another replica answers: it reads again from a little before here, and what is above is not repeated', null);
      } else if (hello.resumed === 'none') {
        // Our place was not found and no gap may follow: say that nothing is known.
        this.batch.add(GAP, at, 0, 0, NO_SOURCE, '⚠ Lines may be missing here: the server did not know where this page had stopped and began anew', null);
      }
    }
    this.changes.push({ type: 'hello', hello });
    return hello;
  }

  /** History is over; the event's time is the server's now. */
  live(event: SseEvent, now: number): void {
    const seen = Date.parse((JSON.parse(event.data) as { time?: string }).time ?? '') - now;
    if (!Number.isFinite(seen)) return;
    this.#ahead = clockAhead(this.#ahead, seen);
    this.changes.push({ type: 'clock', ahead: this.#ahead });
  }

  /** One event that is neither `hello`, `live` nor `bye`. Unknown types are ignored. */
  event(event: SseEvent): void {
    switch (event.type) {
      case 'log':
        return this.#log(JSON.parse(event.data) as LogLine);
      case 'rollout': {
        const rollout = JSON.parse(event.data) as Rollout;
        this.changes.push({ type: 'rollout', rollout });
        const told = this.#snapshot(event) ? null : tellRollout(rollout, this.#rollout);
        this.#rollout = rollout;
        if (told) this.#row(NOTE, rollout.time, rollout.phase === 'stalled' ? ERROR : 0, NO_SOURCE, told);
        return;
      }
      case 'pod': {
        const pod = JSON.parse(event.data) as Pod;
        this.changes.push({ type: 'pod', pod });
        if (this.#snapshot(event)) {
          this.#standing.set(pod.pod, pod);
          return;
        }
        const told = tellPod(pod, this.#before(pod), this.#kind);
        this.#remember(pod);
        if (told) this.#row(POD, pod.time, told.startsWith('✗') ? ERROR : 0, this.batch.source(pod.pod, '', 0), told);
        return;
      }
      case 'event': {
        const happened = JSON.parse(event.data) as KubeEvent;
        if (!this.#seen.take(hash(event.data), timeOf(happened.time))) return;
        const source = happened.object?.kind === 'pod' ? this.batch.source(happened.object.name, '', 0) : NO_SOURCE;
        return this.#row(EVENT, happened.time, happened.type === 'Warning' ? WARN : 0, source, tellEvent(happened, this.#kind));
      }
      case 'source': {
        const change = JSON.parse(event.data) as SourceChange;
        const source = this.batch.source(change.pod, change.container, change.attempt);
        // A restarted server begins to read, or ends, what this page saw begin or end.
        const told = `${change.state} ${change.reason ?? ''}`;
        if (this.#sources[source] === told) return;
        this.#sources[source] = told;
        return this.#row(SOURCE, change.time, 0, source, tellSource(change, this.#kind));
      }
      case 'gap': {
        const gap = JSON.parse(event.data) as Gap;
        const source = gap.pod ? this.batch.source(gap.pod, gap.container ?? '', gap.attempt ?? 0) : NO_SOURCE;
        return this.#row(GAP, gap.time, 0, source, tellGap(gap, this.#kind));
      }
      case 'result': {
        const result = JSON.parse(event.data) as Result;
        this.changes.push({ type: 'result', result });
        if (!this.#seen.take(hash(event.data), timeOf(result.time))) return;
        return this.#row(NOTE, result.time, result.outcome === 'succeeded' ? 0 : ERROR, NO_SOURCE, tellResult(result));
      }
    }
  }

  takeChanges(): Change[] {
    const taken = this.changes;
    this.changes = [];
    return taken;
  }

  #log(line: LogLine): void {
    this.#began = true;
    const time = timeOf(line.time);
    if (line.key && !this.#seen.take(hash(line.key), time)) {
      this.dropped++;
      return;
    }
    const { text, spans } = split(line.text);
    const flags = (line.truncated_bytes ? TRUNCATED : 0) | (line.lossy ? LOSSY : 0) | (line.partial ? PARTIAL : 0) | (line.partial_head ? PARTIAL_HEAD : 0) | (line.side === 'old' ? OLD_SIDE : 0);
    const suffix = line.truncated_bytes ? ` … cut, ${line.truncated_bytes.toLocaleString('en')} bytes in all` : '';
    this.batch.add(LINE, time, levelOf(line.level), flags, this.batch.source(line.pod, line.container, line.attempt), text + suffix, spans);
  }

  #row(kind: number, time: string, level: number, source: number, text: string): void {
    // Names and messages come from the cluster's users: the same care as for log text.
    this.batch.add(kind, timeOf(time), level, 0, source, split(text).text, null);
  }

  /** State that stands at the start of every connection is not news. */
  #snapshot(event: SseEvent): boolean {
    return event.id === this.#helloId;
  }

  /** What was known when this happened: history may tell again what led to how things stand. */
  #before(pod: Pod): Pod | undefined {
    const told = this.#pods.get(pod.pod);
    const standing = this.#standing.get(pod.pod);
    const usable = standing && Date.parse(standing.time) <= Date.parse(pod.time) ? standing : undefined;
    if (!told || !usable) return told ?? usable;
    return Date.parse(told.time) >= Date.parse(usable.time) ? told : usable;
  }

  #remember(pod: Pod): void {
    this.#pods.delete(pod.pod);
    this.#pods.set(pod.pod, pod);
    if (this.#pods.size > MAX_PODS) {
      const oldest = this.#pods.keys().next();
      if (!oldest.done) this.#pods.delete(oldest.value);
    }
  }
}
