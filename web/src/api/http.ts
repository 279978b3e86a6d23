// The page's requests, all of this origin. The token lives in this tab's sessionStorage only: it
// never enters a URL, a cookie or another tab.

import { signal } from '@preact/signals';
import { retryAfter } from '../stream/link';
import type { Problem } from './types';

const KEY = 'rollcast.token';

export const token = signal<string | null>(readToken());

function readToken(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function setToken(value: string | null): void {
  token.value = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Storage may be forbidden: the token then lives as long as the page.
  }
}

export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfterMs: number | null,
  ) {
    super(detail || `the server answered ${status}`);
  }
}

/** GET of JSON. Throws `HttpError` for a refusal and `TypeError` when there is no answer. */
export async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token.value) headers['authorization'] = `Bearer ${token.value}`;
  const answer = await fetch(path, { headers, signal, cache: 'no-store', credentials: 'same-origin', redirect: 'error' });
  const json = (answer.headers.get('content-type') ?? '').includes('json');
  if (!answer.ok) {
    const problem = json ? ((await answer.json().catch(() => ({}))) as Problem) : {};
    throw new HttpError(answer.status, problem.detail ?? problem.title ?? '', retryAfter(answer.headers.get('retry-after'), Date.now()));
  }
  if (!json) throw new HttpError(502, 'something between here and the server answered, not rollcast', null);
  return (await answer.json()) as T;
}
