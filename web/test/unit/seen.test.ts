import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_KEYS, SeenKeys, hash } from '../../src/stream/seen';

const key = (n: number) => hash(`0c1f6a52-6a30-4b0e-8a3e-3f4f5d1c2b7a.app.1.${1_795_296_158_310_164_133n + BigInt(n)}.0`);

test('keys that differ by one digit differ in their hash, within 53 bits', () => {
  const seen = new Set<number>();
  for (let n = 0; n < 300_000; n++) {
    const made = key(n);
    assert.ok(Number.isSafeInteger(made) && made > 0);
    seen.add(made);
  }
  assert.equal(seen.size, 300_000);
  // Also those of equal stamps.
  assert.notEqual(hash('u.app.1.5.0'), hash('u.app.1.5.1'));
});

test('nothing is dropped before an overlap is announced', () => {
  const keys = new SeenKeys(8);
  assert.ok(keys.take(key(1), 1));
  assert.ok(keys.take(key(1), 1));
});

test('in an overlap the kept keys are dropped, new ones of the same age are not', () => {
  const keys = new SeenKeys(8);
  for (let n = 1; n <= 4; n++) keys.take(key(n), n);
  keys.overlap();
  assert.deepEqual([1, 2, 3, 4].map((n) => keys.take(key(n), n)), [false, false, false, false]);
  assert.ok(keys.take(key(100), 2), 'an old line that was not shown');
  assert.ok(keys.take(key(5), 5), 'a young line');
  assert.equal(keys.take(key(3), Number.NaN), false, 'a time that cannot be read does not hide a repeat');
});

test('what an overlap brings anew is known to the next one', () => {
  const keys = new SeenKeys(8);
  keys.take(key(1), 1);
  keys.overlap();
  keys.take(key(2), 2);
  keys.overlap();
  assert.deepEqual([1, 2, 3].map((n) => keys.take(key(n), n)), [false, false, true]);
});

test('only the newest keys are kept, whatever comes', () => {
  const keys = new SeenKeys(1024);
  for (let n = 0; n < 5_000; n++) keys.take(key(n), n);
  keys.overlap();
  const again = Array.from({ length: 5_000 }, (_, n) => keys.take(key(n), n));
  assert.equal(again.filter((fresh) => !fresh).length, 1024);
  assert.ok(again.slice(0, -1024).every(Boolean));
});

test('a full ring is kept and searched at its true size', () => {
  const keys = new SeenKeys();
  for (let n = 0; n < 2 * MAX_KEYS; n++) keys.take(n + 1, n);
  keys.overlap();
  for (let n = MAX_KEYS; n < 2 * MAX_KEYS; n++) assert.equal(keys.take(n + 1, n), false);
  assert.ok(keys.take(2 * MAX_KEYS + 1, 0));
});
