import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, ERROR, GAP, LINE, NO_SOURCE, timeOf } from '../../src/log/batch';
import { Heights } from '../../src/log/heights';
import { Search, highlighter } from '../../src/log/search';
import { ALL, Selection } from '../../src/log/select';
import { CHUNK_ROWS, Store } from '../../src/log/store';

/** Appends `n` lines in batches of odd sizes; line i is error if i % 10 is 0. */
function filled(n: number, store = new Store()): Store {
  const builder = new BatchBuilder();
  for (let i = 0; i < n; i++) {
    builder.add(LINE, i, i % 10 === 0 ? ERROR : 3, 0, builder.source(`pod-${i % 3}`, 'app', 1), `line ${i} ünï${i % 7 === 0 ? ' seven' : ''}`, i % 5 === 0 ? [0, 4, 2] : null);
    if (i % 997 === 0) store.append(builder.take());
  }
  store.append(builder.take());
  return store;
}

test('every row comes back as it went in, across chunks and batches', () => {
  const n = CHUNK_ROWS * 2 + 17;
  const store = filled(n);
  assert.equal(store.end, n);
  for (let i = 0; i < n; i++) {
    assert.equal(store.text(i), `line ${i} ünï${i % 7 === 0 ? ' seven' : ''}`);
    assert.equal(store.time(i), i);
    assert.equal(store.source(i)?.pod, `pod-${i % 3}`);
    assert.equal(store.spans(i)?.length, i % 5 === 0 ? 3 : undefined);
  }
  assert.equal(store.errors, Math.ceil(n / 10));
});

test('old rows are let go by whole chunks and ids stay what they were', () => {
  const store = filled(CHUNK_ROWS * 5, new Store(CHUNK_ROWS * 2));
  assert.equal(store.first, CHUNK_ROWS * 3);
  assert.equal(store.lines, CHUNK_ROWS * 5);
  assert.equal(store.text(store.first), `line ${store.first} ünï${store.first % 7 === 0 ? ' seven' : ''}`);
  assert.equal(store.text(0), '');
  assert.ok((store.errorIds[0] ?? 0) >= store.first);
});

test('bytes bound the store as rows do', () => {
  const store = new Store(1_000_000, 1_000_000);
  for (let i = 0; i < 40; i++) {
    const builder = new BatchBuilder();
    for (let k = 0; k < 1_000; k++) builder.add(LINE, 0, 0, 0, 0, 'x'.repeat(100), null);
    store.append(builder.take());
  }
  assert.ok(store.bytes <= 1_000_000 + CHUNK_ROWS * 100, `${store.bytes}`);
});

test('a filter shows what passes, goes on with what is appended, and never hides a gap', () => {
  const store = filled(100);
  const selection = new Selection(store, new Set());
  selection.set({ ...ALL, level: ERROR, pod: 'pod-0' });
  const ids = () => Array.from({ length: selection.length }, (_, index) => selection.id(index));
  assert.deepEqual(ids(), [0, 30, 60, 90]);
  const builder = new BatchBuilder();
  builder.add(GAP, 0, 0, 0, NO_SOURCE, 'lines are missing', null);
  builder.add(LINE, 0, 3, 0, 0, 'info', null);
  builder.add(LINE, 0, 6, 0, 0, 'fatal', null);
  store.append(builder.take());
  selection.update();
  assert.deepEqual(ids(), [0, 30, 60, 90, 100, 102]);
  assert.equal(selection.indexOf(61), 3);
});

test('a selection follows the rows that the store lets go', () => {
  const store = new Store(CHUNK_ROWS * 2);
  filled(CHUNK_ROWS, store);
  for (const filter of [ALL, { ...ALL, level: ERROR }]) {
    const selection = new Selection(store, new Set());
    selection.set(filter);
    const before = selection.length;
    let gone = 0;
    for (let round = 0; round < 4; round++) {
      const had = selection.length;
      const end = store.end;
      filled(CHUNK_ROWS, store);
      gone += selection.update();
      assert.ok(selection.id(0) >= store.first);
      assert.ok(selection.id(selection.length - 1) < store.end && selection.id(selection.length - 1) >= end);
      assert.ok(had > 0);
    }
    assert.ok(gone >= before || filter === ALL);
  }
});

test('the search finds each row with a hit once, while rows arrive', () => {
  const store = filled(5_000);
  const selection = new Selection(store, new Set());
  const search = new Search(store, selection);
  search.set('SEVEN|nothing');
  // A clock that stops every look after its first rows.
  let time = 0;
  for (let i = 0; i < 100 && !search.done; i++) search.scan(1, () => (time += 2));
  assert.equal(search.hits.length, Math.ceil(5_000 / 7));
  filled(70, store);
  selection.update();
  search.scan(100, () => 0);
  assert.equal(search.hits.length, Math.ceil(5_000 / 7) + 10);
  assert.equal(new Set(search.hits).size, search.hits.length);
});

test('what looks like a pattern is only text', () => {
  assert.equal('a.b(c'.replace(highlighter('.b(') ?? /x/, '!'), 'a!c');
  assert.equal(highlighter(' | '), null);
});

test('heights answer both ways and take corrections', () => {
  const heights = new Heights();
  const plain: number[] = [];
  for (let i = 0; i < 5_000; i++) {
    const lines = 1 + (i % 4);
    heights.push(lines);
    plain.push(lines);
  }
  for (const [index, lines] of [[3, 9], [1_023, 7], [1_024, 1], [4_999, 30]] as const) {
    heights.set(index, lines);
    plain[index] = lines;
  }
  let offset = 0;
  for (let i = 0; i < plain.length; i++) {
    if (i % 97 === 0 || i > 4_990) {
      assert.equal(heights.offset(i), offset);
      assert.equal(heights.rowAt(offset), i);
      assert.equal(heights.rowAt(offset + (plain[i] ?? 1) - 1), i);
    }
    offset += plain[i] ?? 0;
  }
  assert.equal(heights.total, offset);
});

test('times keep their microseconds', () => {
  assert.equal(timeOf('2026-11-22T14:02:38.310164133Z') - Date.parse('2026-11-22T14:02:38.310Z'), 0.1640625);
  assert.equal(timeOf('2026-11-22T14:02:38Z'), Date.parse('2026-11-22T14:02:38Z'));
});
