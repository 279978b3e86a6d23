// The page that the binary serves, against its demo: ROLLCAST_URL=http://127.0.0.1:8080 npm run e2e
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CutProxy, launch, open, readRows, shot, state } from './browser.mjs';

const url = process.env['ROLLCAST_URL'];
const skip = url ? false : 'ROLLCAST_URL is not set';
let browser;
let proxy;
let base;

before(async () => {
  if (skip) return;
  browser = await launch();
  proxy = new CutProxy(url);
  base = await proxy.listen();
});
after(async () => {
  await browser?.close();
  await proxy?.close();
});

async function deployments() {
  const answer = await fetch(`${url}/api/v1/workloads`);
  assert.equal(answer.status, 200);
  return (await answer.json()).workloads.filter((item) => item.namespace === 'shop' && item.kind === 'deployment');
}

/** Lines of one workload as the server sends them to somebody who is never cut. */
async function oracle(path, seen, signal) {
  const answer = await fetch(`${url}${path}`, { headers: { accept: 'text/event-stream' }, signal });
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of answer.body) {
      rest += decoder.decode(chunk, { stream: true });
      const events = rest.split('\n\n');
      rest = events.pop();
      for (const event of events) {
        if (!/^event: log$/m.test(event)) continue;
        const line = JSON.parse(/^data: (.*)$/m.exec(event)[1]);
        seen.push(`${line.time.slice(11, 23).replace(/Z$/, '')} ${line.pod.split('-').at(-1)}/${line.container}`);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

test('the list shows the shop, in both themes', { skip }, async () => {
  for (const theme of ['light', 'dark']) {
    const page = await open(browser, { theme });
    await page.goto(`${base}/`);
    await state(page, 'live');
    for (const item of await deployments()) await page.waitForSelector(`tr[data-workload="shop/deployment/${item.name}"]`);
    await shot(page, `demo-home-${theme}`);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
});

test('every workload of the shop opens and goes live without a violation', { skip }, async () => {
  for (const [index, item] of (await deployments()).entries()) {
    const page = await open(browser, { theme: index % 2 ? 'dark' : 'light' });
    await page.goto(`${base}/w/shop/deployment/${item.name}`);
    await state(page, 'live');
    await page.waitForSelector('.tl svg .pod');
    await page.waitForTimeout(3_000);
    await shot(page, `demo-${item.name}`);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
});

test('a workload page follows lines', { skip }, async () => {
  const page = await open(browser);
  await page.goto(`${base}/w/shop/deployment/${await chatty()}`);
  await state(page, 'live');
  const lines = () => page.locator('.foot b[data-lines]').getAttribute('data-lines').then(Number);
  const before = await lines();
  await page.waitForFunction((n) => Number(document.querySelector('.foot b[data-lines]')?.getAttribute('data-lines')) > n + 5, before);
  await page.context().close();
});

test('the network cut three times while lines come: none is missing, none is there twice', { skip }, async () => {
  const name = await chatty();
  const seen = [];
  const stop = new AbortController();
  const reading = oracle(`/api/v1/namespaces/shop/deployment/${name}/stream?format=sse`, seen, stop.signal);
  const page = await open(browser);
  await page.goto(`${base}/w/shop/deployment/${name}`);
  await state(page, 'live');
  for (const pause of [300, 1_500, 3_000]) {
    await page.waitForTimeout(1_500);
    proxy.down = true;
    proxy.cut();
    await state(page, 'reconnecting');
    await page.waitForTimeout(pause);
    proxy.down = false;
    await state(page, 'live');
  }
  await page.waitForTimeout(1_500);
  await page.keyboard.press('f');
  await page.waitForSelector('.follow >> text=paused');
  const rows = (await readRows(page)).filter((row) => row.line);
  await page.waitForTimeout(500);
  stop.abort();
  await reading;
  const got = rows.map((row) => `${row.time} ${row.pod}`);
  assert.ok(got.length > 20, `${got.length} lines`);
  // The two readers began a moment apart: the page's lines must be one stretch of the oracle's.
  const joined = seen.join('\n');
  const from = seen.indexOf(got[0]);
  const common = from === -1 ? got.slice(got.indexOf(seen[0])) : got;
  const within = `\n${joined}\n`.includes(`\n${common.slice(0, seen.length - Math.max(0, from)).join('\n')}\n`);
  assert.ok(within, `the page's ${got.length} lines are not a stretch of the ${seen.length} that were sent: ${firstDifference(common, seen.slice(Math.max(0, from)))}`);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

function firstDifference(got, seen) {
  const at = got.findIndex((line, i) => line !== seen[i]);
  return `at ${at}: ${JSON.stringify(got.slice(at, at + 3))} instead of ${JSON.stringify(seen.slice(at, at + 3))}`;
}

/** A Deployment that writes a line at least every half second: the first with 5 lines in 2.5 s. */
async function chatty() {
  const all = await deployments();
  const counts = await Promise.all(all.map(async (item) => {
    const seen = [];
    await oracle(`/api/v1/namespaces/shop/deployment/${item.name}/stream?format=sse&tail=0`, seen, AbortSignal.timeout(2_500)).catch(() => {});
    return { name: item.name, lines: seen.length };
  }));
  const fit = counts.filter((item) => item.lines >= 5).sort((a, b) => a.lines - b.lines)[0];
  assert.ok(fit, `no Deployment of the shop writes: ${JSON.stringify(counts)}`);
  return fit.name;
}
