import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToPage } from '../../src/stream/protocol';
import { Session, type World } from '../../src/stream/session';
import { EVENT, GAP, LINE, LOSSY, NOTE, PARTIAL, PARTIAL_HEAD, SOURCE, TRUNCATED } from '../../src/log/batch';
import { Store } from '../../src/log/store';

/** A world with a clock moved by hand and a server played by the test. */
class Stage implements World {
  time = 1_000_000;
  requests: Array<{ headers: Record<string, string>; signal: AbortSignal; write(text: string): void; end(): void; fail(): void }> = [];
  messages: ToPage[] = [];
  answer: { status: number; body?: string; headers?: Record<string, string> } | null = null;
  #timers = new Map<number, { at: number; run: () => void }>();
  #next = 1;

  fetch = (_url: string, init: RequestInit): Promise<Response> => {
    const signal = init.signal as AbortSignal;
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (c) => void (controller = c) });
    signal.addEventListener('abort', () => {
      try {
        controller.error(new DOMException('aborted', 'AbortError'));
      } catch {
        // Already closed.
      }
    });
    this.requests.push({
      headers: init.headers as Record<string, string>,
      signal,
      write: (text) => controller.enqueue(new TextEncoder().encode(text)),
      end: () => controller.close(),
      fail: () => controller.error(new TypeError('network error')),
    });
    if (this.answer) {
      const { status, body: text, headers } = this.answer;
      return Promise.resolve(new Response(text ?? null, { status, headers: headers ?? {} }));
    }
    return Promise.resolve(new Response(body, { status: 200, headers: { 'content-type': 'text/event-stream' } }));
  };
  post = (message: ToPage): void => void this.messages.push(message);
  now = (): number => this.time;
  random = (): number => 0.5;
  setTimer = (run: () => void, ms: number): number => {
    this.#timers.set(this.#next, { at: this.time + ms, run });
    return this.#next++;
  };
  clearTimer = (timer: number): void => void this.#timers.delete(timer);

  /** Lets everything that is ready happen. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async pass(ms: number): Promise<void> {
    await this.settle();
    const until = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = due[1].at;
      due[1].run();
      await this.settle();
    }
    this.time = until;
    await this.settle();
  }

  get last() {
    const request = this.requests.at(-1);
    assert.ok(request);
    return request;
  }

  get link(): string {
    const links = this.messages.filter((message) => message.type === 'link');
    return links.at(-1)?.link.state ?? '';
  }

  get store(): Store {
    const store = new Store();
    for (const message of this.messages) if (message.type === 'batch') store.append(message.batch);
    return store;
  }

  rows(kind: number): string[] {
    const { store } = this;
    return Array.from({ length: store.end }, (_, id) => id).filter((id) => store.kind(id) === kind).map((id) => store.text(id));
  }

  texts(): string[] {
    return this.rows(LINE);
  }
}

const hello = (id: string, resumed: string) => `event: hello\nid: ${id}\ndata: {"epoch":"e","resumed":"${resumed}","heartbeat_ms":10000}\n\n`;
const line = (n: number, id = `e-${n}-1`) => `event: log\nid: ${id}\ndata: {"time":"2026-11-22T14:02:38.31Z","pod":"web-1","container":"app","attempt":1,"level":"info","text":"line ${n}","key":"k${n}"}\n\n`;
const live = (id: string) => `event: live\nid: ${id}\ndata: {"time":"2026-11-22T14:02:38Z"}\n\n`;

async function started(token: string | null = null): Promise<{ stage: Stage; session: Session }> {
  const stage = new Stage();
  const session = new Session(stage, '/stream', 'deployment', token);
  session.start();
  await stage.settle();
  return { stage, session };
}

test('a stream cut inside an event resumes before it, and no line is lost or shown twice', async () => {
  const { stage } = await started();
  assert.equal(stage.last.headers['last-event-id'], undefined);
  stage.last.write(hello('e-0-1', 'none') + line(1) + line(2) + live('e-2-1') + line(3).slice(0, -30));
  await stage.settle();
  assert.equal(stage.link, 'live');
  stage.last.fail();
  await stage.settle();
  assert.equal(stage.link, 'reconnecting');
  await stage.pass(1_100);
  assert.equal(stage.last.headers['last-event-id'], 'e-2-1');
  stage.last.write(hello('e-2-1', 'exact') + line(3) + line(4));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['line 1', 'line 2', 'line 3', 'line 4']);
});

test('after an approximate resume lines that were shown are dropped by their key', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + line(1) + line(2) + line(3));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('f-0-1', 'approximate') + line(2, 'f-1-1') + line(3, 'f-2-1') + line(4, 'f-3-1'));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['line 1', 'line 2', 'line 3', 'line 4']);
});

/** A line with a text, stamp and key of its own. */
const said = (text: string, second: number, key: string, id: string, more = '') =>
  `event: log\nid: ${id}\ndata: {"time":"2026-11-22T14:02:${String(second).padStart(2, '0')}Z","pod":"web-1","container":"app","attempt":1,"text":"${text}"${more},"key":"${key}"}\n\n`;

test('a restart tells thousands of lines again: each is shown once, and the restart is told', async () => {
  const { stage, session } = await started();
  const first = Array.from({ length: 3_000 }, (_, n) => line(n, `e-${n + 1}-1`));
  stage.last.write(hello('e-0-1', 'none') + first.join(''));
  await stage.pass(100);
  session.ack();
  stage.last.fail();
  await stage.pass(1_100);
  const again = Array.from({ length: 2_500 }, (_, n) => line(n + 1_000, `f-${n + 1}-1`));
  stage.last.write(hello('f-0-1', 'approximate') + again.join(''));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), Array.from({ length: 3_500 }, (_, n) => `line ${n}`));
  assert.deepEqual(stage.rows(NOTE).filter((text) => text.includes('restarted')).length, 1);
  assert.equal(stage.rows(GAP).length, 0);
});

test('a page that is cut in the middle of what a restart repeats is told of the restart once', async () => {
  const { stage } = await started();
  stage.last.write(hello('d-0-1', 'none') + line(1) + line(2) + line(3));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('d-3-1', 'approximate') + line(1, 'e-1-1-1') + line(2, 'e-2-1-1'));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('e-2-1-1', 'approximate') + line(3, 'e-3-1-1') + line(4, 'e-4-1'));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['line 1', 'line 2', 'line 3', 'line 4']);
  assert.deepEqual(stage.rows(NOTE).filter((text) => text.includes('restarted')).length, 1);
});

test('equal texts at equal times with keys of their own are all kept', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + said('tick', 1, 'k.1.0', 'e-1-1') + said('tick', 1, 'k.1.1', 'e-2-1'));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('f-0-1', 'approximate') + said('tick', 1, 'k.1.0', 'f-1-1') + said('tick', 1, 'k.1.1', 'f-2-1') + said('tick', 1, 'k.1.2', 'f-3-1') + said('tick', 2, 'k.2.0', 'f-4-1'));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['tick', 'tick', 'tick', 'tick']);
});

test('a line of a slow source that is older than what was shown and new is kept', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + said('fast', 9, 'a.9', 'e-1-1'));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('f-0-1', 'approximate') + said('slow', 3, 'b.3', 'f-1-1') + said('fast', 9, 'a.9', 'f-2-1'));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['fast', 'slow']);
});

test('an overlap that is cut goes on after an exact resume', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + line(1) + line(2) + line(3));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('f-0-1', 'approximate') + line(1, 'f-1-1'));
  await stage.settle();
  stage.last.fail();
  await stage.pass(1_100);
  assert.equal(stage.last.headers['last-event-id'], 'f-1-1');
  stage.last.write(hello('f-1-1', 'exact') + line(2, 'f-2-1') + line(3, 'f-3-1') + line(4, 'f-4-1'));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['line 1', 'line 2', 'line 3', 'line 4']);
});

test('cluster events and the begin of a reading are not told again by a restarted server', async () => {
  const { stage } = await started();
  const event = (id: string, count: number) => `event: event\nid: ${id}\ndata: {"time":"2026-11-22T14:02:38Z","type":"Warning","reason":"Unhealthy","message":"m","count":${count}}\n\n`;
  const source = (id: string, start: boolean) => `event: source\nid: ${id}\ndata: {"time":"2026-11-22T14:02:38Z","pod":"web-1","container":"app","attempt":1,"state":"following","from_start":${start}}\n\n`;
  stage.last.write(hello('e-0-1', 'none') + source('e-1-1', true) + event('e-2-1', 3));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('f-0-1', 'approximate') + source('f-1-1', false) + event('f-2-1', 3) + event('f-3-1', 4));
  await stage.pass(100);
  assert.equal(stage.rows(SOURCE).length, 1);
  assert.equal(stage.rows(EVENT).length, 2);
});

test('what a line is not sure of is kept with it', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + said('a', 1, 'k1', 'e-1-1', ',"partial_head":true') + said('b', 2, 'k2', 'e-2-1', ',"partial":true,"lossy":true') + said('c', 3, 'k3', 'e-3-1', ',"truncated_bytes":300000') + said('d', 4, 'k4', 'e-4-1'));
  await stage.pass(100);
  const { store } = stage;
  assert.deepEqual([0, 1, 2, 3].map((id) => store.flags(id)), [PARTIAL_HEAD, PARTIAL | LOSSY, TRUNCATED, 0]);
  assert.equal(store.text(2), 'c … cut, 300,000 bytes in all');
});

test('a limited server is asked again when it said, and not sooner for somebody who looks', async () => {
  const stage = new Stage();
  stage.answer = { status: 503, body: '{"type":"urn:rollcast:problem:limited","title":"Overloaded","detail":"this replica is short of memory"}', headers: { 'content-type': 'application/problem+json', 'retry-after': '15' } };
  const session = new Session(stage, '/stream', 'deployment', null);
  session.start();
  await stage.settle();
  const link = stage.messages.findLast((message) => message.type === 'link')?.link;
  assert.ok(link?.state === 'reconnecting' && link.limited);
  assert.equal(link.why, 'this replica is short of memory');
  session.wake();
  await stage.pass(10_000);
  session.sleep();
  session.wake();
  await stage.pass(4_900);
  assert.equal(stage.requests.length, 1);
  stage.answer = null;
  await stage.pass(3_000);
  assert.equal(stage.requests.length, 2);
});

test('after an exact resume nothing is dropped: the server is believed', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + line(1));
  await stage.settle();
  stage.last.end();
  await stage.pass(1_100);
  stage.last.write(hello('e-1-1', 'exact') + line(1));
  await stage.pass(100);
  assert.deepEqual(stage.texts(), ['line 1', 'line 1']);
});

test('a cut before the first record resumes from the id of hello', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-7-1', 'none'));
  await stage.settle();
  stage.last.fail();
  await stage.pass(1_100);
  assert.equal(stage.last.headers['last-event-id'], 'e-7-1');
});

test('a stream without a sign of life is given up and opened anew', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + live('e-0-1'));
  await stage.settle();
  await stage.pass(24_000);
  assert.equal(stage.link, 'live');
  await stage.pass(1_500);
  assert.equal(stage.link, 'reconnecting');
  await stage.pass(1_100);
  assert.equal(stage.requests.length, 2);
});

test('heartbeats keep a quiet stream', async () => {
  const { stage } = await started();
  stage.last.write(hello('e-0-1', 'none') + live('e-0-1'));
  for (let i = 0; i < 10; i++) {
    await stage.pass(10_000);
    stage.last.write(': hb\n\n');
    await stage.settle();
  }
  assert.equal(stage.requests.length, 1);
});

test('a hidden page closes the stream and goes on where it was', async () => {
  const { stage, session } = await started();
  stage.last.write(hello('e-0-1', 'none') + line(1) + live('e-1-1'));
  await stage.settle();
  session.sleep();
  await stage.settle();
  assert.ok(stage.last.signal.aborted);
  await stage.pass(600_000);
  assert.equal(stage.requests.length, 1);
  session.wake();
  await stage.settle();
  assert.equal(stage.last.headers['last-event-id'], 'e-1-1');
});

test('bye brings the page back after the time it names', async () => {
  const { stage } = await started();
  stage.last.write(`${hello('e-0-1', 'none')}${line(1)}event: bye\ndata: {"reason":"drain","retry_ms":3000}\n\n`);
  await stage.settle();
  await stage.pass(2_900);
  assert.equal(stage.requests.length, 1);
  await stage.pass(200);
  assert.equal(stage.requests.length, 2);
  assert.deepEqual(stage.texts(), ['line 1']);
});

test('the token goes into the header and a 401 asks for another', async () => {
  const { stage } = await started('secret');
  assert.equal(stage.last.headers['authorization'], 'Bearer secret');
  const refused = new Stage();
  refused.answer = { status: 401, body: '{"detail":"no"}', headers: { 'content-type': 'application/problem+json' } };
  new Session(refused, '/stream', 'deployment', null).start();
  await refused.settle();
  assert.equal(refused.link, 'signed_out');
  await refused.pass(120_000);
  assert.equal(refused.requests.length, 1);
});

test('a page that does not keep up stops the reading instead of growing', async () => {
  const { stage, session } = await started();
  stage.last.write(hello('e-0-1', 'none'));
  for (let n = 1; n <= 20; n++) {
    stage.last.write(line(n));
    await stage.pass(50);
  }
  const before = stage.messages.filter((message) => message.type === 'batch').length;
  assert.ok(before <= 9, `${before} batches without a word from the page`);
  for (let n = 0; n < 40; n++) {
    session.ack();
    await stage.pass(50);
  }
  assert.equal(stage.texts().length, 20);
});

test('some other server’s page with status 200 is no stream', async () => {
  const stage = new Stage();
  stage.answer = { status: 200, body: '<html>login', headers: { 'content-type': 'text/html' } };
  new Session(stage, '/stream', 'deployment', null).start();
  await stage.settle();
  assert.equal(stage.link, 'reconnecting');
});
