// The bar on top: where you are, how fresh it is, who holds a token.

import type { ComponentChildren } from 'preact';
import { setToken, token } from '../api/http';
import { isDark, toggleTheme } from './theme';

export interface Freshness {
  tone: 'ok' | 'warn' | 'bad' | 'idle';
  glyph: string;
  text: string;
  title?: string;
  /** Tries at once instead of waiting. */
  retry?: (() => void) | undefined;
}

export function Bar({ crumb, fresh, find, onHelp }: {
  crumb?: ComponentChildren;
  fresh?: Freshness | null;
  find?: ComponentChildren;
  onHelp: () => void;
}) {
  return (
    <header class="bar">
      <a class="logo" href="/" aria-label="rollcast, list of workloads">roll<i>cast</i></a>
      <nav class="crumb" aria-label="Where you are">{crumb}</nav>
      <span class="grow" />
      {find}
      {fresh && (
        <span class={`conn ${fresh.tone}`} data-state={fresh.text} title={fresh.title}>
          <span class="glyph" aria-hidden="true">{fresh.glyph}</span>
          <span class="word">{fresh.text}</span>
          {fresh.retry && <button class="mini" type="button" onClick={fresh.retry}>try now</button>}
        </span>
      )}
      <button class="icon" type="button" onClick={toggleTheme} aria-label={isDark() ? 'Use the light theme' : 'Use the dark theme'} title="Theme">
        {isDark() ? '☀' : '☾'}
      </button>
      <button class="icon key" type="button" onClick={onHelp} aria-label="Keys and help" title="Keys and help">?</button>
      {token.value !== null && <button class="quiet" type="button" onClick={() => setToken(null)}>sign out</button>}
    </header>
  );
}
