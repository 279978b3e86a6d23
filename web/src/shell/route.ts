// Where the page is, and what it shows of it: both are in the URL, so that a link is the view.

import { computed, signal } from '@preact/signals';

export type Route =
  | { page: 'home' }
  | { page: 'workload'; namespace: string; kind: string; name: string }
  | { page: 'lost'; path: string };

const path = signal(location.pathname);
export const query = signal(new URLSearchParams(location.search));

export const route = computed<Route>(() => parse(path.value));

export function parse(path: string): Route {
  if (path === '/' || path === '') return { page: 'home' };
  const parts = path.replace(/\/$/, '').split('/');
  if (parts.length === 5 && parts[1] === 'w') {
    try {
      const [namespace, kind, name] = parts.slice(2).map(decodeURIComponent);
      if (namespace && kind && name) return { page: 'workload', namespace, kind, name };
    } catch {
      // A broken escape is a lost address.
    }
  }
  return { page: 'lost', path };
}

export const pathOf = (namespace: string, kind: string, name: string): string =>
  `/w/${encodeURIComponent(namespace)}/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`;

export function go(to: string): void {
  history.pushState(null, '', to);
  read();
  scrollTo(0, 0);
}

/** Sets or (with an empty value) removes one part of the query, without a new history entry. */
export function setQuery(name: string, value: string): void {
  const next = new URLSearchParams(query.value);
  if (value === '') next.delete(name);
  else next.set(name, value);
  const text = next.toString();
  history.replaceState(null, '', `${location.pathname}${text ? `?${text}` : ''}`);
  query.value = next;
}

export const get = (name: string): string => query.value.get(name) ?? '';

function read(): void {
  path.value = location.pathname;
  query.value = new URLSearchParams(location.search);
}

window.addEventListener('popstate', read);

// Links of this page are followed without loading it again; modified clicks stay the browser's.
document.addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
