import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_EVENT_CHARS, type SseEvent, SseParser } from '../../src/stream/sse';

function parse(chunks: string[]): { events: SseEvent[]; retries: number[]; lastId: string } {
  const events: SseEvent[] = [];
  const retries: number[] = [];
  const parser = new SseParser((event) => events.push(event), (ms) => retries.push(ms));
  for (const chunk of chunks) parser.push(chunk);
  return { events, retries, lastId: parser.lastId };
}

const STREAM = 'retry: 2150\r\n: rollcast 0.1.0\r\n\r\nevent: hello\nid: a-1-5\ndata: {"x":1}\n\nevent: log\rid: a-2-6\rdata: one\rdata: two\r\rdata: ünï\n\n: hb\n\nid: a-9-9\n\n';

test('any cut of a stream gives the same events', () => {
  const whole = parse([STREAM]);
  assert.deepEqual(whole.events, [
    { type: 'hello', data: '{"x":1}', id: 'a-1-5' },
    { type: 'log', data: 'one\ntwo', id: 'a-2-6' },
    { type: 'message', data: 'ünï', id: 'a-2-6' },
  ]);
  assert.deepEqual(whole.retries, [2150]);
  for (let at = 0; at <= STREAM.length; at++) assert.deepEqual(parse([STREAM.slice(0, at), STREAM.slice(at)]), whole, `cut at ${at}`);
  assert.deepEqual(parse([...STREAM]), whole);
});

test('a bare id line moves the cursor without an event', () => {
  assert.equal(parse([STREAM]).lastId, 'a-9-9');
});

test('the id of an event that was cut off is not committed', () => {
  const { events, lastId } = parse(['id: a-1-1\ndata: x\n\nid: a-2-2\ndata: y\n']);
  assert.equal(events.length, 1);
  assert.equal(lastId, 'a-1-1');
});

test('a byte order mark is dropped only at the start', () => {
  assert.equal(parse(['\ufeffdata: x\n\n']).events[0]?.data, 'x');
  assert.equal(parse([':\n', '\ufeffdata: x\n\n']).events.length, 0);
});

test('only one space after the colon belongs to the format', () => {
  assert.equal(parse(['data:  x\n\n']).events[0]?.data, ' x');
  assert.equal(parse(['data\n\n']).events[0]?.data, '');
});

test('an id with a NUL and a retry that is no number are ignored', () => {
  const { events, retries } = parse(['id: a\0b\nretry: 1e3\ndata: x\n\n']);
  assert.equal(events[0]?.id, '');
  assert.deepEqual(retries, []);
});

test('an event without end is refused rather than kept', () => {
  const parser = new SseParser(() => {});
  parser.push('data: ');
  const block = 'x'.repeat(1024 * 1024);
  assert.throws(() => {
    for (let sent = 0; sent <= MAX_EVENT_CHARS; sent += block.length) parser.push(block);
  }, /larger than 8 MiB/);
});
