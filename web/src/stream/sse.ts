// Server-Sent Events, parsed as the HTML standard says, from text that may be cut anywhere.
//
// Why not EventSource: it cannot send `Authorization`, hides the status of a refusal, and costs a
// dispatch per event on the main thread.

/** One dispatched event. `id` is the last id seen, which the event may have inherited. */
export interface SseEvent {
  type: string;
  data: string;
  id: string;
}

/** An unfinished event may hold at most this much: one log line is at most 256 KiB of text, and a
 * snapshot of a result with its last lines is far below it. Beyond it the stream is not ours. */
export const MAX_EVENT_CHARS = 8 * 1024 * 1024;

export class SseParser {
  /** The last committed id: only moved when an event is complete, so that a cut in the middle of
   * an event resumes before it. */
  lastId = '';

  #rest = '';
  #skipLf = false;
  #first = true;
  #data = '';
  #hasData = false;
  #type = '';
  #id: string;

  constructor(
    private readonly onEvent: (event: SseEvent) => void,
    private readonly onRetry: (ms: number) => void = () => {},
    lastId = '',
  ) {
    this.lastId = lastId;
    this.#id = lastId;
  }

  /** Takes the next piece of decoded text. Throws if an event grows beyond all bounds. */
  push(chunk: string): void {
    if (this.#first && chunk.length > 0) {
      this.#first = false;
      if (chunk.charCodeAt(0) === 0xfeff) chunk = chunk.slice(1);
    }
    const text = this.#rest + chunk;
    let at = 0;
    let cr = text.indexOf('\r');
    for (;;) {
      if (this.#skipLf && at < text.length) {
        this.#skipLf = false;
        if (text.charCodeAt(at) === 10) at++;
      }
      const lf = text.indexOf('\n', at);
      if (cr !== -1 && cr < at) cr = text.indexOf('\r', at);
      const end = cr !== -1 && (lf === -1 || cr < lf) ? cr : lf;
      if (end === -1) break;
      this.#line(text.slice(at, end));
      this.#skipLf = end === cr;
      at = end + 1;
    }
    this.#rest = text.slice(at);
    if (this.#rest.length + this.#data.length > MAX_EVENT_CHARS) {
      throw new Error('an event of the stream is larger than 8 MiB');
    }
  }

  #line(line: string): void {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.charCodeAt(0) === 32) value = value.slice(1);
    switch (field) {
      case 'data':
        this.#data = this.#hasData ? `${this.#data}\n${value}` : value;
        this.#hasData = true;
        break;
      case 'event':
        this.#type = value;
        break;
      case 'id':
        if (!value.includes('\0')) this.#id = value;
        break;
      case 'retry':
        if (/^[0-9]+$/.test(value)) this.onRetry(Number(value));
        break;
    }
  }

  #dispatch(): void {
    // A bare `id:` line moves the cursor without an event: filters may drop everything for long.
    this.lastId = this.#id;
    const { '0': type, '1': data, '2': has } = [this.#type, this.#data, this.#hasData] as const;
    this.#type = '';
    this.#data = '';
    this.#hasData = false;
    if (has) this.onEvent({ type: type || 'message', data, id: this.lastId });
  }
}
