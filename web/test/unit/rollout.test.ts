import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodPhase, Rollout } from '../../src/api/types';
import { LANE_ROWS, laneOf, ticks, windowOf } from '../../src/rollout/layout';
import { RolloutModel } from '../../src/rollout/model';
import { elapsedOf, runs, stateOf } from '../../src/rollout/state';
import { clockAhead } from '../../src/stream/decode';
import { tellGap, tellPod } from '../../src/stream/tell';
import { shortImage, shortPod } from '../../src/format';

const T = Date.parse('2026-11-22T14:00:00Z');
const pod = (name: string, phase: PodPhase, second: number, more: Partial<Pod> = {}): Pod => ({
  pod: name, uid: name, side: 'new', phase, time: new Date(T + second * 1_000).toISOString(), ...more,
});

test('a pod’s phases become segments without holes', () => {
  const model = new RolloutModel();
  model.pod(pod('a', 'pulling', 0));
  model.pod(pod('a', 'pulling', 1));
  model.pod(pod('a', 'starting', 5));
  model.pod(pod('a', 'ready', 9));
  model.pod(pod('a', 'gone', 20));
  assert.deepEqual(model.pods.get('a')?.segments, [
    { from: T, to: T + 5_000, phase: 'pulling' },
    { from: T + 5_000, to: T + 9_000, phase: 'starting' },
    { from: T + 9_000, to: T + 20_000, phase: 'ready' },
  ]);
});

test('a pod that a new snapshot does not name is gone', () => {
  const model = new RolloutModel();
  model.beginSnapshot();
  model.pod(pod('a', 'ready', 0));
  model.pod(pod('b', 'ready', 0));
  model.endSnapshot(T + 1_000);
  assert.equal(model.pods.get('a')?.pod.phase, 'ready');
  model.beginSnapshot();
  model.pod(pod('b', 'ready', 2));
  model.endSnapshot(T + 5_000);
  assert.equal(model.pods.get('a')?.pod.phase, 'gone');
  assert.equal(model.pods.get('a')?.segments.at(-1)?.to, T + 5_000);
  assert.equal(model.pods.get('b')?.pod.phase, 'ready');
});

test('history that comes after the snapshot is put in its place', () => {
  const model = new RolloutModel();
  const app = (state: string, attempt: number) => ({ containers: [{ name: 'app', state, attempt }] });
  model.pod(pod('a', 'ready', 31, app('running', 1)));
  model.pod(pod('a', 'pulling', 1, app('waiting', 1)));
  model.pod(pod('a', 'starting', 9, app('running', 1)));
  model.pod(pod('a', 'ready', 31, app('running', 1)));
  const bar = model.pods.get('a');
  assert.deepEqual(bar?.segments.map((segment) => [segment.phase, segment.from - T]), [['pulling', 1_000], ['starting', 9_000], ['ready', 31_000]]);
  assert.equal(bar?.pod.phase, 'ready');
  assert.deepEqual(bar?.marks, []);
  model.pod(pod('b', 'failing', 40, app('waiting', 1)));
  model.pod(pod('b', 'starting', 38, app('running', 1)));
  model.pod(pod('b', 'failing', 40, app('waiting', 1)));
  assert.deepEqual(model.pods.get('b')?.marks.map((mark) => [mark.glyph, mark.at - T]), [['✗', 40_000]]);
});

test('exits and restarts are marked where they happened', () => {
  const model = new RolloutModel();
  const app = (state: string, attempt: number, exit_code: number | null = null) => ({ containers: [{ name: 'app', state, attempt, exit_code }] });
  model.pod(pod('a', 'starting', 0, app('running', 1)));
  model.pod(pod('a', 'failing', 2, app('waiting', 1, 1)));
  model.pod(pod('a', 'starting', 12, app('running', 2)));
  assert.deepEqual(model.pods.get('a')?.marks.map((mark) => [mark.glyph, mark.at - T]), [['✗', 2_000], ['↻', 12_000]]);
});

test('a full lane shows the failing pods and counts the others', () => {
  const model = new RolloutModel();
  for (let i = 0; i < 40; i++) model.pod(pod(`p-${i}`, i === 39 ? 'failing' : 'ready', i));
  const lane = laneOf(model, 'new', T);
  assert.equal(lane.bars.length, LANE_ROWS);
  assert.ok(lane.bars.some((bar) => bar.pod.phase === 'failing'));
  assert.equal(lane.rest, `${40 - LANE_ROWS} ready`);
});

test('the window begins before the rollout and is bounded', () => {
  const model = new RolloutModel();
  const [from, to] = windowOf(model, T + 120_000, T);
  assert.ok(from < T && from > T - 20_000 && to === T + 120_000);
  const [old] = windowOf(model, T, T - 5 * 3_600_000);
  assert.ok(T - old <= 15 * 60_000 && T - old >= 60_000);
  assert.ok(ticks(from, to, 9).length <= 10);
});

test('every state has a glyph and a word', () => {
  for (const phase of ['waiting', 'progressing', 'paused', 'stalled', 'complete', 'scaled_to_zero', 'deleted', 'unknown', 'something_new', null]) {
    const state = stateOf(phase, false);
    assert.ok(state.glyph && state.text);
  }
  assert.equal(stateOf('progressing', true).text, 'failing');
  assert.equal(stateOf('paused', true).text, 'paused');
  assert.equal(stateOf('complete', false, { ready: 2, desired: 2 }).text, 'ready');
  assert.equal(stateOf('complete', false, { ready: 0, desired: 2 }).text, 'not ready');
  assert.equal(stateOf('complete', true, { ready: 0, desired: 2 }).text, 'failing');
});

test('a gap says whose lines are missing, from when to when, and why', () => {
  assert.equal(
    tellGap({ time: '', reason: 'rotation_unproven', pod: 'web-6c9f-r4t8c', container: 'app', from: '2026-11-22T14:03:14.2Z', to: '2026-11-22T14:03:22.8Z', count: null }, 'deployment'),
    '⚠ Lines of r4t8c/app are missing between 14:03:14.2 and 14:03:22.8 UTC: its log was rotated before they could be read',
  );
  assert.equal(tellGap({ time: '', reason: 'history_evicted', count: 1 }, 'deployment'), '⚠ 1 line is missing: older than what the server keeps');
  assert.match(tellGap({ time: '', reason: 'server_restart', workload: 'shop/deployment/web', from: '2026-11-22T14:03:14.2Z', count: null }, 'deployment'), /^⚠ Lines of shop\/deployment\/web may be missing after 14:03:14.2 UTC: /);
  assert.equal(tellGap({ time: '', reason: 'some_new_reason', pod: 'web-6c9f-r4t8c', count: 3 }, 'deployment'), '⚠ 3 lines of r4t8c are missing: some new reason');
});

test('a pod is told once for each change', () => {
  const before = pod('web-6c9f-p7wqm', 'pulling', 0);
  assert.equal(tellPod(pod('web-6c9f-p7wqm', 'pulling', 1), before, 'deployment'), null);
  assert.equal(tellPod(pod('web-6c9f-p7wqm', 'ready', 1), before, 'deployment'), '✓ p7wqm is ready');
});

test('pods keep what tells them apart', () => {
  assert.equal(shortPod('web-6c9f-p7wqm', 'deployment'), 'p7wqm');
  assert.equal(shortPod('db-0', 'statefulset'), 'db-0');
  assert.equal(shortPod('single', 'pod'), 'single');
});

test('images lose their host and most of a digest, nothing that tells them apart', () => {
  assert.equal(shortImage('registry.example.org/shop/web:1.9.0'), 'shop/web:1.9.0');
  assert.equal(shortImage('localhost:5000/web:1'), 'web:1');
  assert.equal(shortImage('shop/web:1.9.0'), 'shop/web:1.9.0');
  assert.equal(shortImage(`web@sha256:${'0123456789abcdef'.repeat(4)}`), 'web@01234567…');
});

test('a rollout’s time runs in whole seconds of the server, never back, and stands when it is over', () => {
  const rollout = (more: Partial<Rollout>): Rollout => ({ time: '', phase: 'progressing', started: new Date(T).toISOString(), ...more });
  const shown: Array<number | null> = [];
  // The event says 3 s while this page's clock is half a second late.
  for (const [at, told] of [[2_950, 2_000], [2_960, 3_000], [3_400, 3_000], [3_999, 3_000], [4_050, 3_000], [5_049, 3_000]] as const) {
    shown.push(elapsedOf(rollout({ elapsed_ms: told }), T + at));
  }
  assert.deepEqual(shown, [2_000, 3_000, 3_000, 3_000, 4_000, 5_000]);
  const over = rollout({ phase: 'complete', finished: new Date(T + 31_000).toISOString(), elapsed_ms: 31_000 });
  assert.ok(!runs(over));
  for (const at of [0, 31_900, 9e9]) assert.equal(elapsedOf(over, T + at), 31_000);
  assert.equal(elapsedOf(rollout({ phase: 'complete', elapsed_ms: null }), T + 5_000), null, 'nobody knows when it ended');
  assert.equal(elapsedOf(rollout({ started: null, elapsed_ms: null }), T), null);
});

test('a slow answer is not taken for a clock that fell back, a clock that was set is', () => {
  assert.equal(clockAhead(null, -40), -40);
  assert.equal(clockAhead(-40, -900), -40);
  assert.equal(clockAhead(-40, -10), -10);
  assert.equal(clockAhead(-10, -3_600_000), -3_600_000);
});
