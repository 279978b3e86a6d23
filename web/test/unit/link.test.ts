import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Effect, type Input, LIMIT_WAIT_MS, MAX_ASKED_MS, MAX_WAIT_MS, MIN_WAIT_MS, type Memory, asked, backoff, initial, retryAfter, step } from '../../src/stream/link';

/** Feeds inputs one after the other at time 1000 with middle randomness. */
function run(inputs: Input[], from: Memory = initial()): { memory: Memory; effects: Effect[] } {
  let memory = from;
  let effects: Effect[] = [];
  for (const input of inputs) [memory, effects] = step(memory, input, 1_000, 0.5);
  return { memory, effects };
}

const LIVE: Input[] = [
  { type: 'open' },
  { type: 'answer', status: 200, detail: '', limited: false, retryAfterMs: null },
  { type: 'hello' },
  { type: 'caught_up' },
];

test('a stream goes from connecting over behind to live', () => {
  const states = LIVE.map((_, i) => run(LIVE.slice(0, i + 1)).memory.link.state);
  assert.deepEqual(states, ['connecting', 'connecting', 'behind', 'live']);
});

test('the wait doubles with every failure, stays in its bounds, and is spread', () => {
  assert.equal(backoff(1_000, 0, 0.5), 1_000);
  assert.equal(backoff(1_000, 3, 0.5), 8_000);
  for (let failures = 0; failures < 40; failures++) {
    for (const random of [0, 0.3, 0.999]) {
      const ms = backoff(2_150, failures, random);
      assert.ok(ms >= MIN_WAIT_MS && ms <= MAX_WAIT_MS, `${ms}`);
    }
  }
  assert.notEqual(backoff(1_000, 1, 0), backoff(1_000, 1, 0.9));
});

test('a cut of a live stream is followed by one wait of the length the server asked for', () => {
  const { memory, effects } = run([...LIVE, { type: 'retry', ms: 2_150 }, { type: 'closed', why: 'the connection was lost' }]);
  assert.deepEqual(effects, [{ do: 'wait', ms: 2_150 }]);
  assert.deepEqual(memory.link, { state: 'reconnecting', until: 3_150, why: 'the connection was lost' });
});

test('failures add up until a hello comes, not until a mere answer', () => {
  const fail: Input[] = [{ type: 'open' }, { type: 'answer', status: 200, detail: '', limited: false, retryAfterMs: null }, { type: 'closed', why: 'x' }];
  const { memory } = run([...fail, ...fail, ...fail]);
  assert.equal(memory.failures, 3);
  assert.equal(run(LIVE, memory).memory.failures, 0);
});

test('bye closes at once and comes back after the time it names', () => {
  const bye = run([...LIVE, { type: 'bye', reason: 'rotate', retryMs: 700 }]);
  assert.deepEqual(bye.effects, [{ do: 'abort' }]);
  const closed = run([{ type: 'closed', why: 'x' }], bye.memory);
  assert.deepEqual(closed.effects, [{ do: 'wait', ms: 700 }]);
  assert.equal(closed.memory.link.state === 'reconnecting' && closed.memory.link.why, 'the stream reached its planned end');
});

test('refusals end where trying again cannot help', () => {
  const after = (status: number) => run([{ type: 'open' }, { type: 'answer', status, detail: 'd', limited: false, retryAfterMs: null }]);
  assert.equal(after(401).memory.link.state, 'signed_out');
  assert.equal(after(404).memory.link.state, 'not_found');
  assert.equal(after(204).memory.link.state, 'ended');
  assert.equal(after(400).memory.link.state, 'refused');
  for (const status of [401, 404, 204, 400]) {
    assert.deepEqual(after(status).effects, []);
    assert.deepEqual(run([{ type: 'closed', why: 'x' }], after(status).memory).effects, []);
  }
});

test('limits and server errors are waited out, for as long as the answer says', () => {
  for (const status of [429, 500, 502, 503]) {
    const { memory, effects } = run([{ type: 'open' }, { type: 'answer', status, detail: '', limited: false, retryAfterMs: null }]);
    assert.equal(memory.link.state, 'reconnecting');
    assert.equal(effects[0]?.do, 'wait');
  }
  const { effects } = run([{ type: 'open' }, { type: 'answer', status: 429, detail: '', limited: true, retryAfterMs: 8_000 }]);
  assert.ok(effects[0]?.do === 'wait' && effects[0].ms >= 8_000 && effects[0].ms <= 10_000);
});

test('a hidden page closes its stream and opens it when it is looked at', () => {
  const asleep = run([...LIVE, { type: 'sleep' }]);
  assert.deepEqual(asleep.effects, [{ do: 'abort' }]);
  const closed = run([{ type: 'closed', why: 'x' }], asleep.memory);
  assert.equal(closed.memory.link.state, 'asleep');
  assert.deepEqual(run([{ type: 'wake' }], closed.memory).effects, [{ do: 'connect' }]);
});

test('waking up disturbs no stream that is open', () => {
  assert.deepEqual(run([...LIVE, { type: 'wake' }]).effects, []);
});

test('a wait that was asked for is never cut short, and nonsense is bounded', () => {
  for (const random of [0, 0.5, 0.999]) {
    for (const ms of [1_000, 60_000, 600_000]) assert.ok(asked(ms, random) >= ms && asked(ms, random) <= ms * 1.25);
    assert.equal(asked(1e12, random), MAX_ASKED_MS);
    assert.equal(asked(0, random), MIN_WAIT_MS);
  }
  const now = Date.parse('2026-11-22T14:00:00Z');
  assert.equal(retryAfter('15', now), 15_000);
  assert.equal(retryAfter('Sun, 22 Nov 2026 14:00:30 GMT', now), 30_000);
  assert.equal(retryAfter('Sun, 22 Nov 2026 13:00:00 GMT', now), 0);
  for (const none of [null, '', 'soon']) assert.equal(retryAfter(none, now), null);
});

test('a limit that ends stream after stream is met with longer and longer waits', () => {
  const once: Input[] = [...LIVE, { type: 'bye', reason: 'limit', retryMs: 1_000 }, { type: 'closed', why: 'x' }];
  const waits: number[] = [];
  let memory = initial();
  for (let n = 0; n < 5; n++) {
    const next = run(once, memory);
    memory = next.memory;
    assert.ok(next.effects[0]?.do === 'wait');
    waits.push(next.effects[0].ms);
    assert.ok(memory.link.state === 'reconnecting' && memory.link.limited && /short of memory/.test(memory.link.why));
  }
  assert.deepEqual(waits, [1, 2, 4, 6, 6].map((n) => Math.min(MAX_WAIT_MS, n * LIMIT_WAIT_MS)));
  // A stream that was served for long begins anew; other ends are no limit.
  const [later] = step({ ...memory, since: 0, bye: 'limit', link: { state: 'live' } }, { type: 'closed', why: 'x' }, 10 * 60_000, 0.5);
  assert.equal(later.limits, 1);
  assert.ok(later.link.state === 'reconnecting' && later.link.until === 10 * 60_000 + LIMIT_WAIT_MS);
  const drain = run([...LIVE, { type: 'bye', reason: 'drain', retryMs: 700 }, { type: 'closed', why: 'x' }]);
  assert.ok(drain.memory.link.state === 'reconnecting' && !drain.memory.link.limited);
});

test('who looks at a page that a limited server sent away sees the wait, and does not end it', () => {
  const refused = run([{ type: 'open' }, { type: 'answer', status: 429, detail: 'close one', limited: true, retryAfterMs: 8_000 }]).memory;
  for (const inputs of [[{ type: 'wake' }], [{ type: 'sleep' }, { type: 'closed', why: 'x' }, { type: 'wake' }]] satisfies Input[][]) {
    const { memory, effects } = run(inputs, refused);
    assert.deepEqual(memory.link, refused.link);
    assert.deepEqual(effects, [{ do: 'wait', ms: 9_000 }]);
  }
  const [, effects] = step(refused, { type: 'wake' }, 60_000, 0.5);
  assert.deepEqual(effects, [{ do: 'connect' }]);
});
