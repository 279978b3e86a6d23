// One workload being watched: the stream, what it filled, and the signals that the page draws from.

import { batch as together, signal } from '@preact/signals';
import type { Result, Rollout } from '../api/types';
import { token } from '../api/http';
import type { Link } from '../stream/link';
import { type Stream, openStream } from '../stream/open';
import type { ToPage } from '../stream/protocol';
import { Store } from '../log/store';
import type { LogView } from '../log/view';
import { LINE } from '../log/batch';
import { RolloutModel } from '../rollout/model';
import { now, setAhead } from './clock';
import { announce } from './status';

/** A hidden tab keeps its stream this long: HTTP/1.1 has six connections for all tabs together. */
const HIDDEN_MS = 30_000;
/** The rate is a mean over this time. */
const RATE_MS = 5_000;

export interface Facts {
  lines: number;
  errors: number;
  warnings: number;
  gaps: number;
  /** Lines let go by this page. */
  forgotten: number;
  /** Lines that came again after a restart and are shown once. */
  repeated: number;
  /** Lines a second lately. */
  rate: number;
  /** Age of the newest line when it came, in ms; null when nothing came lately. */
  lag: number | null;
  sources: number;
  /** Time of the oldest line, ms since 1970. */
  since: number | null;
}

export class Watch {
  readonly link = signal<Link>({ state: 'connecting' });
  readonly rollout = signal<Rollout | null>(null);
  readonly result = signal<Result | null>(null);
  readonly facts = signal<Facts>({ lines: 0, errors: 0, warnings: 0, gaps: 0, forgotten: 0, repeated: 0, rate: 0, lag: null, sources: 0, since: null });
  /** Counts changes of pods; the model itself is not a signal. */
  readonly pods = signal(0);

  readonly store = new Store();
  readonly model = new RolloutModel();
  view: LogView | null = null;

  #stream: Stream | null = null;
  #ahead = 0;
  #hiddenTimer = 0;
  #factsTimer = 0;
  #arrivals: Array<[at: number, lines: number]> = [];
  #lag: number | null = null;
  #repeated = 0;
  readonly #stop = new AbortController();

  constructor(
    readonly namespace: string,
    readonly kind: string,
    readonly name: string,
  ) {}

  start(): void {
    const { signal } = this.#stop;
    document.addEventListener('visibilitychange', () => this.#visibility(), { signal });
    window.addEventListener('online', () => this.tryNow(), { signal });
    signal.addEventListener('abort', token.subscribe(() => this.#open()));
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#hiddenTimer);
    clearTimeout(this.#factsTimer);
    this.#stream?.close();
    this.#stream = null;
  }

  /** Now, by the server's clock: the axis of everything it sends. Redraws once a second. */
  now(): number {
    return Math.max(now.value, Date.now() - 1_000) + this.#ahead;
  }

  /** When the newest rollout began, if it is known. */
  began(): number | null {
    const started = this.rollout.value?.started;
    return started ? Date.parse(started) : null;
  }

  tryNow(): void {
    this.#stream?.send({ type: 'wake' });
  }

  /** A new worker for each token: what an old one still reads can then reach nobody. */
  #open(): void {
    this.#stream?.close();
    this.link.value = { state: 'connecting' };
    this.#stream = openStream((message) => this.#take(message));
    const path = [this.namespace, this.kind, this.name].map(encodeURIComponent);
    this.#stream.send({
      type: 'start',
      url: `/api/v1/namespaces/${path.join('/')}/stream?format=sse`,
      kind: this.kind,
      token: token.value,
    });
  }

  #take(message: ToPage): void {
    if (message.type === 'link') {
      const was = this.link.value;
      this.link.value = message.link;
      if (message.link.state === 'live' && was.state !== 'live') {
        this.model.endSnapshot(Date.now() + this.#ahead);
        this.pods.value++;
        announce('Live', true);
      } else if (message.link.state === 'reconnecting' && message.link.limited && !(was.state === 'reconnecting' && was.limited)) announce(`The server limits what it serves: ${message.link.why}`, true);
      else if (message.link.state === 'reconnecting' && was.state === 'live') announce(`Connection lost: ${message.link.why}`, true);
      return;
    }
    this.#stream?.send({ type: 'ack' });
    together(() => {
      for (const change of message.changes) {
        switch (change.type) {
          case 'hello':
            // An exact resume goes on from where things stood: no snapshot comes.
            if (change.hello.resumed !== 'exact') this.model.beginSnapshot();
            break;
          case 'rollout':
            // History may tell again what led to the state that the snapshot has.
            if (this.rollout.value && Date.parse(change.rollout.time) < Date.parse(this.rollout.value.time)) break;
            if (this.rollout.value && this.rollout.value.phase !== change.rollout.phase) {
              announce(`Rollout ${change.rollout.phase.replaceAll('_', ' ')}${change.rollout.message ? `: ${change.rollout.message}` : ''}`, true);
            }
            this.rollout.value = change.rollout;
            break;
          case 'pod':
            this.model.pod(change.pod);
            this.pods.value++;
            break;
          case 'clock':
            this.#ahead = change.ahead;
            setAhead(change.ahead);
            break;
          case 'result':
            this.result.value = change.result;
            break;
        }
      }
      const { batch } = message;
      this.#repeated = message.dropped;
      if (batch.rows > 0) {
        this.model.lines(batch);
        this.store.append(batch);
        this.#arrived(batch.kinds, batch.times, message.arrived);
        this.view?.appended();
      }
      this.#factsSoon();
    });
  }

  #arrived(kinds: Uint8Array, times: Float64Array, at: number): void {
    let lines = 0;
    let newest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < kinds.length; i++) {
      if (kinds[i] !== LINE) continue;
      lines++;
      newest = Math.max(newest, times[i] ?? newest);
    }
    // What happened before this connection says nothing about speed.
    if (lines === 0 || this.link.value.state !== 'live') return;
    this.#lag = Math.max(0, at + this.#ahead - newest);
    this.#arrivals.push([Date.now(), lines]);
  }

  /** Figures change a few times a second at most; nobody reads faster. */
  #factsSoon(): void {
    if (this.#factsTimer !== 0) return;
    this.#factsTimer = window.setTimeout(() => {
      this.#factsTimer = 0;
      const since = Date.now() - RATE_MS;
      this.#arrivals = this.#arrivals.filter(([at]) => at > since);
      const lately = this.#arrivals.reduce((sum, [, lines]) => sum + lines, 0);
      const { store } = this;
      this.facts.value = {
        lines: store.lines,
        errors: store.errors,
        warnings: store.warnings,
        gaps: store.gaps,
        forgotten: store.first,
        repeated: this.#repeated,
        rate: this.link.value.state === 'live' ? Math.round(lately / (RATE_MS / 1_000)) : 0,
        lag: lately > 0 && this.link.value.state === 'live' ? this.#lag : null,
        sources: new Set(store.sources.filter((source) => source.container).map((source) => `${source.pod}/${source.container}`)).size,
        since: store.end > store.first ? store.time(store.first) : null,
      };
      // Until the mean has gone back to nothing.
      if (lately > 0) this.#factsSoon();
    }, 400);
  }

  #visibility(): void {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) this.#hiddenTimer = window.setTimeout(() => this.#stream?.send({ type: 'sleep' }), HIDDEN_MS);
    else this.#stream?.send({ type: 'wake' });
  }
}
