// Follows one rollout in the page that a running rollcast serves, and fails unless all of it is
// seen. It says "live" once the next rollout may begin. Without its variables it does nothing.
//
//     ROLLCAST_URL=http://… [ROLLCAST_TOKEN=…] ROLLCAST_WORKLOAD=shop/deployment/web node test/e2e/service.mjs
import assert from 'node:assert/strict';
import { launch, open, shot, state } from './browser.mjs';

const { ROLLCAST_URL: url, ROLLCAST_TOKEN: token, ROLLCAST_WORKLOAD: workload } = process.env;

/** The page, the cluster and the writers may share one processor. */
const PATIENCE_MS = 60_000;

/** Over plain HTTP from elsewhere the browser says that one header of the server does not count. */
const PLAIN_HTTP = /^The Cross-Origin-Opener-Policy header has been ignored/;

const revision = (page) => page.textContent('.facts b');

/** Waits until the rollout is ready and as many pods as it wants are, without these; their names. */
async function settled(page, without) {
  await page.waitForSelector('.head .chip.ok >> text=ready');
  const ready = await page.waitForFunction((without) => {
    const names = [...document.querySelectorAll('.tl [data-phase="ready"]')].map((bar) => bar.dataset.pod).filter((name) => !without.includes(name));
    return names.length > 0 && document.querySelector('.meter .n')?.textContent.startsWith(`${names.length} of ${names.length} `) && names;
  }, without);
  return ready.jsonValue();
}

async function signIn(page) {
  await page.waitForSelector('input[type=password]');
  await page.fill('#token', token);
  await page.click('button >> text=Sign in');
}

async function follow(page) {
  await page.goto(url);
  if (token) await signIn(page);
  await page.click(`tr[data-workload="${workload}"] a.n`);
  await state(page, 'live');
  const old = await settled(page, []);
  const before = await revision(page);
  console.log('live');

  await page.waitForSelector('.head .chip >> text=rolling out');
  await page.click('.tool button >> text=new pods');
  await page.waitForFunction((old) => [...document.querySelectorAll('.sheet > .r:not([hidden]) .p')].some((pod) => pod.title && !old.includes(pod.title.split('/')[0])), old);
  console.log(`lines of new pods come while the page says: ${(await page.innerText('.head .chip')).replaceAll(/\s+/g, ' ')}`);
  const pods = await settled(page, old);
  assert.notEqual(await revision(page), before);
  // One pod's lines at a time: a loud pod would drive the others' off the screen.
  for (const name of pods) {
    await page.click(`[data-pod="${name}"] .name`);
    await page.waitForSelector(`.sheet > .r:not([hidden]) .p[title^="${name}/"]`);
    await page.click(`[data-pod="${name}"] .name`);
  }
  const foot = (await page.innerText('.foot')).replaceAll(/\s+/g, ' ');
  await shot(page, 'service');
  assert.deepEqual(page.wrongs.filter((wrong) => !PLAIN_HTTP.test(wrong)), []);
  console.log(`ready: revision ${await revision(page)}, lines of ${pods.length} new pods, ${foot}`);
}

if (url && workload) {
  const browser = await launch();
  const page = await open(browser);
  page.setDefaultTimeout(PATIENCE_MS);
  try {
    await follow(page);
  } catch (error) {
    await shot(page, 'service').catch(() => {});
    console.error(`${page.url()}: ${error.message}\nsaid by the browser: ${JSON.stringify(page.wrongs)}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
