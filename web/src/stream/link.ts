// The connection's life as a pure step function: what happened goes in, the new state and what to
// do about it come out. No clock, no network, no randomness of its own.

export type Link =
  | { state: 'connecting' }
  /** Connected, history is still arriving. */
  | { state: 'behind' }
  | { state: 'live' }
  /** Not connected; the next try is at `until` (ms since 1970). */
  | { state: 'reconnecting'; until: number; why: string }
  /** Closed because nobody looks at the page. */
  | { state: 'asleep' }
  | { state: 'ended'; why: string }
  | { state: 'signed_out' }
  | { state: 'not_found'; detail: string }
  | { state: 'refused'; status: number; detail: string };

/** What is remembered between connections. */
export interface Memory {
  link: Link;
  /** The server's wish for the wait before a reconnect, from `retry:` or `bye`. */
  retryMs: number;
  /** Connections in a row that brought no `hello`. */
  failures: number;
  /** A `bye` came: what follows is its end, not a fault. */
  bye: string | null;
}

export type Input =
  | { type: 'open' }
  | { type: 'answer'; status: number; detail: string; retryAfterMs: number | null }
  | { type: 'hello' }
  | { type: 'caught_up' }
  | { type: 'retry'; ms: number }
  | { type: 'bye'; reason: string; retryMs: number | null }
  | { type: 'closed'; why: string }
  | { type: 'sleep' }
  | { type: 'wake' };

export type Effect = { do: 'connect' } | { do: 'abort' } | { do: 'wait'; ms: number };

export const MIN_WAIT_MS = 500;
export const MAX_WAIT_MS = 30_000;
const DEFAULT_RETRY_MS = 1_000;

export const initial = (): Memory => ({
  link: { state: 'connecting' },
  retryMs: DEFAULT_RETRY_MS,
  failures: 0,
  bye: null,
});

/** The wait before try number `failures`: doubling from the server's wish, with jitter of a
 * quarter either way so that a thousand pages do not come back in the same instant. */
export function backoff(retryMs: number, failures: number, random: number): number {
  const base = Math.max(MIN_WAIT_MS, retryMs) * 2 ** Math.min(failures, 10);
  return Math.round(Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, base * (0.75 + random / 2))));
}

const final = (link: Link): boolean =>
  link.state === 'ended' || link.state === 'signed_out' || link.state === 'not_found' || link.state === 'refused';

/** `now` is in ms since 1970, `random` in [0, 1). */
export function step(was: Memory, input: Input, now: number, random: number): [Memory, Effect[]] {
  const to = (link: Link, ...effects: Effect[]): [Memory, Effect[]] => [{ ...was, link }, effects];
  const wait = (ms: number, why: string): [Memory, Effect[]] => [
    { ...was, bye: null, failures: was.failures + 1, link: { state: 'reconnecting', until: now + ms, why } },
    [{ do: 'wait', ms }],
  ];

  switch (input.type) {
    case 'open':
      return to({ state: 'connecting' }, { do: 'connect' });

    case 'answer':
      if (input.status === 200) return [was, []];
      if (input.status === 204) return to({ state: 'ended', why: 'the rollout is over and everything was delivered' });
      if (input.status === 401) return to({ state: 'signed_out' });
      if (input.status === 404 || input.status === 403) return to({ state: 'not_found', detail: input.detail });
      if (input.status === 429 || input.status === 408 || input.status >= 500) {
        const ms = input.retryAfterMs === null
          ? backoff(was.retryMs, was.failures, random)
          : Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, input.retryAfterMs * (1 + random / 4)));
        return wait(Math.round(ms), input.detail || `the server answered ${input.status}`);
      }
      return to({ state: 'refused', status: input.status, detail: input.detail });

    case 'hello':
      return [{ ...was, failures: 0, link: { state: 'behind' } }, []];

    case 'caught_up':
      return to({ state: 'live' });

    case 'retry':
      return [{ ...was, retryMs: Math.min(MAX_WAIT_MS, input.ms) }, []];

    case 'bye':
      // The server closes after `bye`; do not wait for a proxy to pass that on.
      return [
        { ...was, bye: input.reason, retryMs: Math.min(MAX_WAIT_MS, input.retryMs ?? was.retryMs) },
        [{ do: 'abort' }],
      ];

    case 'closed': {
      if (final(was.link) || was.link.state === 'asleep') return [was, []];
      if (was.bye === 'revoked' || was.bye === 'expired') {
        // The next request's answer says what to do: 401 asks for a token, 404 ends.
        return [{ ...was, bye: null, link: { state: 'connecting' } }, [{ do: 'wait', ms: MIN_WAIT_MS }]];
      }
      const why = was.bye === null ? input.why : `the server closed the stream (${was.bye})`;
      return wait(backoff(was.retryMs, was.failures, random), why);
    }

    case 'sleep':
      return final(was.link) ? [was, []] : to({ state: 'asleep' }, { do: 'abort' });

    case 'wake':
      // Also "try now" while a reconnect waits: somebody looks, or the network is back.
      return was.link.state === 'asleep' || was.link.state === 'reconnecting'
        ? to({ state: 'connecting' }, { do: 'connect' })
        : [was, []];
  }
}
