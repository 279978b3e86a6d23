import assert from 'node:assert/strict';
import { test } from 'node:test';
import css from '../../src/styles/tokens.css?raw';

type Colours = Record<string, string>;
const read = (block: string): Colours => Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{3,6})/g)].map((found) => [found[1], found[2]]));
const [lightBlock = '', darkBlock = ''] = css.split('[data-theme=dark]');
const light = read(lightBlock);
const themes = { light, dark: { ...light, ...read(darkBlock) } };

function luminance(colour: string): number {
  const hex = colour.length === 4 ? [...colour.slice(1)].map((c) => c + c).join('') : colour.slice(1);
  const [r = 0, g = 0, b = 0] = [0, 2, 4].map((at) => {
    const c = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** WCAG's contrast ratio. */
function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

const log = [...Array.from({ length: 8 }, (_, i) => `pod${i}`), ...Array.from({ length: 16 }, (_, i) => `a${i + 1}`)];
const GROUNDS: Record<string, string[]> = {
  paper: ['ink', 'ink2', 'ink3', 'warn', 'bad', 'accent', 'ok', ...log],
  sheet: ['ink', 'ink2', 'ink3', 'warn', 'bad', 'accent', 'ok', ...log],
  badbg: ['ink', 'ink2', 'bad', ...log],
  sel: ['ink', 'ink2', 'ink3', 'warn', ...log],
  warnbg: ['warn'],
  okbg: ['ok'],
  hair: ['ink2'],
  accent: ['on-accent'],
  mark: ['on-mark'],
};

test('every text colour has 4.5:1 on every ground it stands on, in both themes', () => {
  const poor = Object.entries(themes).flatMap(([theme, colours]) =>
    Object.entries(GROUNDS).flatMap(([ground, inks]) =>
      inks
        .map((ink) => ({ ink, ratio: contrast(colours[ink] ?? '#000', colours[ground] ?? '#000') }))
        .filter(({ ratio }) => ratio < 4.5)
        .map(({ ink, ratio }) => `${theme}: ${ink} on ${ground} ${ratio.toFixed(2)}`),
    ),
  );
  assert.deepEqual(poor, []);
});
