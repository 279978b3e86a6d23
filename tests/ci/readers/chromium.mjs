// The EventSource of a real browser, on a page of the service itself.
import { chromium } from 'playwright-core';

const [url, wanted] = process.argv.slice(2);
const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage();
await page.goto(new URL('/', url).href);
const lines = await page.evaluate(
  ([url, wanted]) =>
    new Promise((done, failed) => {
      const lines = [];
      const source = new EventSource(url);
      source.addEventListener('log', ({ lastEventId, data }) => {
        if (lines.length === wanted) return;
        lines.push(JSON.stringify([lastEventId, data]));
        if (lines.length === wanted) {
          source.close();
          done(lines);
        }
      });
      source.onerror = () => failed(new Error(`cut after ${lines.length} events`));
    }),
  [url, Number(wanted)],
);
await browser.close();
process.stdout.write(lines.join('\n') + '\n', () => process.exit(0));
