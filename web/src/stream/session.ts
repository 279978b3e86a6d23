// Drives one stream: carries out the effects of the link's step function with fetch and timers,
// feeds the decoder, and hands batches on. Runs in the worker; everything it touches is handed in,
// so that tests run it with a scripted server and a clock of their own.

import type { Bye, Problem } from '../api/types';
import { buffersOf } from '../log/batch';
import { Decoder } from './decode';
import { type Input, type Link, type Memory, initial, retryAfter, step } from './link';
import { SseParser } from './sse';
import type { ToPage } from './protocol';

export interface World {
  fetch(url: string, init: RequestInit): Promise<Response>;
  post(message: ToPage, transfer: ArrayBuffer[]): void;
  now(): number;
  random(): number;
  /** Calls back after `ms`; returns what `clearTimer` takes. */
  setTimer(run: () => void, ms: number): number;
  clearTimer(timer: number): void;
}

/** Rows are handed on at most this late, so that a burst becomes one message. */
const FLUSH_MS = 30;
/** And at the latest at this many bytes. */
const FLUSH_BYTES = 1024 * 1024;
/** Batches under way to the page. Above it the stream is not read on: the page is slower than the
 * stream, and the server says so with a gap rather than this tab growing without bound. */
const MAX_UNACKED = 8;
/** A stream without a byte for this many heartbeats is dead. */
const SILENT_HEARTBEATS = 2.5;
const DEFAULT_HEARTBEAT_MS = 10_000;

export class Session {
  #memory: Memory = initial();
  #decoder: Decoder;
  #lastId = '';
  #abort: AbortController | null = null;
  #retryTimer = 0;
  #flushTimer = 0;
  #silenceTimer = 0;
  #silentMs = DEFAULT_HEARTBEAT_MS * SILENT_HEARTBEATS;
  #unacked = 0;
  #room: (() => void) | null = null;
  #sent = '';

  constructor(
    private readonly world: World,
    private readonly url: string,
    kind: string,
    private readonly token: string | null,
  ) {
    this.#decoder = new Decoder(kind);
  }

  start(): void {
    this.#take({ type: 'open' });
  }

  sleep(): void {
    this.#take({ type: 'sleep' });
  }

  wake(): void {
    this.#take({ type: 'wake' });
  }

  /** The page took one batch. */
  ack(): void {
    this.#unacked--;
    this.#room?.();
    this.#room = null;
  }

  #take(input: Input): void {
    const [memory, effects] = step(this.#memory, input, this.world.now(), this.world.random());
    this.#memory = memory;
    for (const effect of effects) {
      this.world.clearTimer(this.#retryTimer);
      if (effect.do === 'connect') void this.#connect();
      else if (effect.do === 'abort') this.#abort?.abort();
      else this.#retryTimer = this.world.setTimer(() => this.#take({ type: 'open' }), effect.ms);
    }
    this.#say(memory.link);
  }

  #say(link: Link): void {
    const told = JSON.stringify(link);
    if (told === this.#sent) return;
    this.#sent = told;
    // What arrived before a change of state is shown before it.
    this.#flush();
    this.world.post({ type: 'link', link }, []);
  }

  async #connect(): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const current = () => this.#abort === abort && !abort.signal.aborted;
    let why = 'the stream ended';
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (this.token) headers['authorization'] = `Bearer ${this.token}`;
      if (this.#lastId) headers['last-event-id'] = this.#lastId;
      this.#watchSilence(abort);
      const answer = await this.world.fetch(this.url, { headers, signal: abort.signal, cache: 'no-store', credentials: 'same-origin', redirect: 'error' });
      if (!current()) return;
      const stream = answer.status === 200 && (answer.headers.get('content-type') ?? '').startsWith('text/event-stream');
      if (!stream || !answer.body) {
        const { detail, limited } = await problemOf(answer);
        if (current()) {
          // A 200 that is not a stream is some proxy's page: try again, and say what came.
          const status = answer.status === 200 ? 502 : answer.status;
          this.#take({ type: 'answer', status, detail: answer.status === 200 ? 'something between here and the server answered, not rollcast' : detail, limited, retryAfterMs: retryAfter(answer.headers.get('retry-after'), this.world.now()) });
        }
        return;
      }
      this.#take({ type: 'answer', status: 200, detail: '', limited: false, retryAfterMs: null });
      await this.#read(answer.body, abort, current);
    } catch (error) {
      why = abort.signal.reason instanceof Silence ? 'nothing was heard from the server' : error instanceof TypeError || abort.signal.aborted ? 'the connection was lost' : String(error);
    } finally {
      if (this.#abort === abort) {
        this.world.clearTimer(this.#silenceTimer);
        abort.abort();
        this.#abort = null;
        if (this.#memory.link.state === 'connecting' || this.#memory.link.state === 'behind' || this.#memory.link.state === 'live') {
          this.#take({ type: 'closed', why });
        }
      }
    }
  }

  async #read(body: ReadableStream<Uint8Array>, abort: AbortController, current: () => boolean): Promise<void> {
    const resuming = this.#lastId !== '';
    const parser = new SseParser(
      (event) => {
        switch (event.type) {
          case 'hello': {
            const hello = this.#decoder.hello(event, resuming, this.world.now());
            this.#silentMs = Math.max(2_000, (hello.heartbeat_ms ?? DEFAULT_HEARTBEAT_MS) * SILENT_HEARTBEATS);
            return this.#take({ type: 'hello' });
          }
          case 'live':
            this.#decoder.live(event, this.world.now());
            return this.#take({ type: 'caught_up' });
          case 'bye': {
            const bye = JSON.parse(event.data) as Bye;
            return this.#take({ type: 'bye', reason: bye.reason, retryMs: bye.retry_ms ?? null });
          }
          default:
            this.#decoder.event(event);
        }
      },
      (ms) => this.#take({ type: 'retry', ms }),
      this.#lastId,
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        // After an abort nothing more counts: a newer connection resumes from the committed id.
        if (done || !current()) return;
        this.#watchSilence(abort);
        parser.push(decoder.decode(value, { stream: true }));
        this.#lastId = parser.lastId;
        if (this.#decoder.batch.bytes > FLUSH_BYTES) this.#flush();
        else if (this.#flushTimer === 0) this.#flushTimer = this.world.setTimer(() => this.#flush(), FLUSH_MS);
        if (this.#unacked >= MAX_UNACKED) await new Promise<void>((resolve) => (this.#room = resolve));
        if (!current()) return;
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  #flush(): void {
    this.world.clearTimer(this.#flushTimer);
    this.#flushTimer = 0;
    const changes = this.#decoder.takeChanges();
    if (this.#decoder.batch.rows === 0 && changes.length === 0) return;
    const batch = this.#decoder.batch.take();
    this.#unacked++;
    this.world.post({ type: 'batch', batch, changes, dropped: this.#decoder.dropped, arrived: this.world.now() }, buffersOf(batch));
  }

  #watchSilence(abort: AbortController): void {
    this.world.clearTimer(this.#silenceTimer);
    this.#silenceTimer = this.world.setTimer(() => abort.abort(new Silence()), this.#silentMs);
  }
}

class Silence extends Error {}

async function problemOf(answer: Response): Promise<{ detail: string; limited: boolean }> {
  const limited = answer.status === 429;
  try {
    if (!(answer.headers.get('content-type') ?? '').includes('json')) return { detail: '', limited };
    const problem = (await answer.json()) as Problem;
    return { detail: problem.detail ?? problem.title ?? '', limited: limited || problem.type === 'urn:rollcast:problem:limited' };
  } catch {
    return { detail: '', limited };
  }
}
