// The keys of the log. They act from anywhere on the page but a field.

import type { Signal } from '@preact/signals';
import type { LogView } from '../log/view';
import { helpOpen } from './Help';
import { get, setQuery } from './route';

export function bindLogKeys(view: LogView, field: { current: HTMLInputElement | null }, opened: Signal<number>): () => void {
  const search = (event: KeyboardEvent) => {
    event.preventDefault();
    field.current?.focus();
    field.current?.select();
  };
  const inField = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      if (get('q')) setQuery('q', '');
      else field.current?.blur();
    } else if (event.key === 'Enter') {
      event.preventDefault();
      view.jump(event.shiftKey ? -1 : 1);
    }
  };
  const onKey = (event: KeyboardEvent) => {
    if (helpOpen.value) return;
    const { key, target } = event;
    if ((event.ctrlKey || event.metaKey) && key === 'k') return search(event);
    if (target === field.current) return inField(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
    // Enter and Space belong to whatever has the focus.
    const onControl = target instanceof Element && target.closest('button, a, [role=button]') !== null;
    const done = () => event.preventDefault();
    switch (key) {
      case '/': return search(event);
      case 'n': return view.jump(1);
      case 'N': return view.jump(-1);
      case 'e': return view.jumpError(1);
      case 'E': return view.jumpError(-1);
      case 'f': return view.setFollow(!view.follow);
      case 'w': return setQuery('wrap', get('wrap') === '1' ? '' : '1');
      case 'j': case 'ArrowDown': return done(), view.move(1);
      case 'k': case 'ArrowUp': return done(), view.move(-1);
      case 'PageDown': return done(), view.move(20);
      case 'PageUp': return done(), view.move(-20);
      case 'g': case 'Home': return done(), view.toStart();
      case 'G': case 'End': return done(), view.setFollow(true);
      case '?': helpOpen.value = true; return;
      case 'Enter':
        if (!onControl && view.cursor >= 0) opened.value = view.cursor;
        return;
      case 'Escape':
        if (opened.value >= 0) opened.value = -1;
        else if (get('q')) setQuery('q', '');
        else if (get('pod')) setQuery('pod', '');
        return;
    }
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
