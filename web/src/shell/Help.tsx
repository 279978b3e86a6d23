// The sheet of keys.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export const helpOpen = signal(false);

const KEYS: Array<[keys: string[], what: string]> = [
  [['/', 'Ctrl K'], 'filter workloads, or search in the log'],
  [['n', 'N'], 'next and previous hit'],
  [['e', 'E'], 'next and previous error'],
  [['f', 'End'], 'follow or pause; to the newest line'],
  [['j', 'k', '↓', '↑'], 'one line down, one up'],
  [['g', 'Home'], 'to the oldest line'],
  [['Enter'], 'open the workload, or the whole line with its JSON'],
  [['w'], 'wrap long lines'],
  [['Esc'], 'close, clear, leave the field'],
  [['?'], 'this sheet'],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helpOpen.value) dialog.current?.showModal();
    else dialog.current?.close();
  });
  return (
    <dialog ref={dialog} class="help" onClose={() => (helpOpen.value = false)} aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      <dl>
        {KEYS.map(([keys, what]) => [
          <dt key={what}>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dt>,
          <dd key={`${what}.`}>{what}</dd>,
        ])}
      </dl>
      <p class="how">In a search, <code>timeout|refused</code> finds either word. Hatched rows say where lines are missing, and why.</p>
      <form method="dialog"><button class="main">Close</button></form>
    </dialog>
  );
}
