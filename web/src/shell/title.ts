// The tab tells how things stand: a glyph before the title, a colour in the icon.

import type { Tone } from '../rollout/state';
import bad from '../icons/bad.svg';
import busy from '../icons/busy.svg';
import idle from '../icons/idle.svg';
import ok from '../icons/ok.svg';

const ICONS: Record<Tone, string> = { ok, bad, warn: busy, idle };

export function setTitle(title: string, tone: Tone = 'idle'): void {
  if (document.title !== title) document.title = title;
  const link = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (link && link.getAttribute('href') !== ICONS[tone]) link.href = ICONS[tone];
}
