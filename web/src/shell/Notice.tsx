// A page that has nothing to show says why, and what can be done.

import type { ComponentChildren } from 'preact';

export function Notice({ glyph, title, children }: { glyph: string; title: string; children: ComponentChildren }) {
  return (
    <main class="card notice">
      <div>
        <h1><span class="big" aria-hidden="true">{glyph}</span>{title}</h1>
        {children}
      </div>
    </main>
  );
}
