// What both suites need: a browser that reports every violation, a proxy that cuts, and a reader
// of the rows on screen.
import { existsSync, mkdirSync } from 'node:fs';
import { createServer, request as send } from 'node:http';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const RESULTS = fileURLToPath(new URL('../../test-results/', import.meta.url));
mkdirSync(RESULTS, { recursive: true });

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export async function launch() {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`no Chromium at ${executablePath}: install Debian's package chromium, or set CHROMIUM`);
  return chromium.launch({ executablePath, args: FLAGS });
}

/** A page of its own context, with all that went wrong in `page.wrongs`. */
export async function open(browser, { theme = 'light', width = 1440, height = 900 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.wrongs = [];
  page.on('console', (message) => {
    // Answers that the tests ask for (401, 404, a cut) are reported by the browser as errors too.
    if (message.type() === 'error' && !/Failed to load resource|net::ERR_/.test(message.text())) page.wrongs.push(message.text());
  });
  page.on('pageerror', (error) => page.wrongs.push(String(error)));
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`)));
  return page;
}

export const state = (page, word) => page.waitForSelector(`.conn[data-state^="${word}"]`);

export const shot = (page, name) => page.screenshot({ path: `${RESULTS}${name}.png` });

/** Pauses and reads every row of the log, from the first to the last, off the screen. */
export async function readRows(page) {
  await page.focus('.log');
  await page.keyboard.press('Home');
  return page.evaluate(async () => {
    const log = document.querySelector('.log');
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const rows = new Map();
    const step = Math.max(20, log.clientHeight - 60);
    for (let top = 0, last = -1; ; top += step) {
      log.scrollTop = top;
      await frame();
      const origin = log.getBoundingClientRect().top;
      for (const row of log.querySelectorAll('.sheet > .r:not([hidden])')) {
        const y = Math.round(row.getBoundingClientRect().top - origin + log.scrollTop);
        rows.set(y, {
          gap: row.classList.contains('gap'),
          line: !row.classList.contains('x'),
          time: row.querySelector('.t').textContent,
          pod: row.querySelector('.p').textContent,
          text: row.querySelector('.m').textContent,
        });
      }
      if (log.scrollTop === last) break;
      last = log.scrollTop;
    }
    return [...rows].sort((a, b) => a[0] - b[0]).map(([, row]) => row);
  });
}

/** Stands before a server and can break everything that is open, or refuse what comes. */
export class CutProxy {
  constructor(target) {
    this.target = new URL(target);
    this.down = false;
    this.sockets = new Set();
    this.server = createServer((request, response) => {
      if (this.down) return request.socket.destroy();
      const upstream = send({ host: this.target.hostname, port: this.target.port, method: request.method, path: request.url, headers: { ...request.headers, host: this.target.host } }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      });
      upstream.on('error', () => response.destroy());
      response.on('close', () => upstream.destroy());
      request.pipe(upstream);
    });
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  listen() {
    return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${this.server.address().port}`)));
  }

  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  close() {
    this.cut();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
