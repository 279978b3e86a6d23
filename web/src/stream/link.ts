// The connection's life as a pure step function: what happened goes in, the new state and what to
// do about it come out. No clock, no network, no randomness of its own.

export type Link =
  | { state: 'connecting' }
  /** Connected, history is still arriving. */
  | { state: 'behind' }
  | { state: 'live' }
  /** Not connected; the next try is at `until` (ms since 1970), and no sooner if the server `limited`
   * what it serves. */
  | { state: 'reconnecting'; until: number; why: string; limited?: boolean }
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
  /** When the last `hello` came, ms since 1970. */
  since: number;
  /** Times in a row that a limit ended a stream soon after its `hello`. */
  limits: number;
  /** A limited server does not want this page before then, whoever looks. */
  hold: { until: number; why: string } | null;
}

export type Input =
  | { type: 'open' }
  | { type: 'answer'; status: number; detail: string; limited: boolean; retryAfterMs: number | null }
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
/** A wait that the server asks for is kept up to this long; a proxy may ask for anything. */
export const MAX_ASKED_MS = 15 * 60_000;
/** At most this much is added to it, so that those who were told the same do not come together. */
const SPREAD_MS = 10_000;
/** The least wait after a limit ended a stream: what is freed is seen some seconds later. */
export const LIMIT_WAIT_MS = 5_000;
/** A stream that lasted this long was served: the next limit is not the same one. */
const SERVED_MS = 60_000;
const DEFAULT_RETRY_MS = 1_000;

export const initial = (): Memory => ({
  link: { state: 'connecting' },
  retryMs: DEFAULT_RETRY_MS,
  failures: 0,
  bye: null,
  since: 0,
  limits: 0,
  hold: null,
});

/** The wait before try number `failures`: doubling from the server's wish, with jitter of a
 * quarter either way so that a thousand pages do not come back in the same instant. */
export function backoff(retryMs: number, failures: number, random: number): number {
  const base = Math.max(MIN_WAIT_MS, retryMs) * 2 ** Math.min(failures, 10);
  return Math.round(Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, base * (0.75 + random / 2))));
}

/** The wait when the server asked for `ms`: never less, but for what is beyond reason. */
export function asked(ms: number, random: number): number {
  return Math.round(Math.min(MAX_ASKED_MS, Math.max(MIN_WAIT_MS, ms + Math.min(ms / 4, SPREAD_MS) * random)));
}

/** `Retry-After` in ms, from seconds or a date; null if there is none. */
export function retryAfter(header: string | null, now: number): number | null {
  if (header === null || header.trim() === '') return null;
  const ms = /^\s*[0-9]+\s*$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

/** What a `bye` means to who reads the page. */
const BYES: Record<string, string> = {
  rotate: 'the stream reached its planned end',
  drain: 'the server is shutting down',
  limit: 'the server is short of memory or at a limit, and asked this page to come back later',
};

const final = (link: Link): boolean =>
  link.state === 'ended' || link.state === 'signed_out' || link.state === 'not_found' || link.state === 'refused';

/** `now` is in ms since 1970, `random` in [0, 1). */
export function step(was: Memory, input: Input, now: number, random: number): [Memory, Effect[]] {
  const to = (link: Link, ...effects: Effect[]): [Memory, Effect[]] => [{ ...was, link }, effects];
  const wait = (ms: number, why: string, limited = false): [Memory, Effect[]] => [
    {
      ...was, bye: null, failures: was.failures + 1, hold: limited ? { until: now + ms, why } : null,
      link: { state: 'reconnecting', until: now + ms, why, ...(limited && { limited }) },
    },
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
        const ms = input.retryAfterMs === null ? backoff(was.retryMs, was.failures, random) : asked(input.retryAfterMs, random);
        return wait(ms, input.detail || `the server answered ${input.status}`, input.limited);
      }
      return to({ state: 'refused', status: input.status, detail: input.detail });

    case 'hello':
      return [{ ...was, failures: 0, since: now, hold: null, link: { state: 'behind' } }, []];

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
      const why = was.bye === null ? input.why : (BYES[was.bye] ?? `the server closed the stream (${was.bye})`);
      if (was.bye !== 'limit') return wait(backoff(was.retryMs, was.failures, random), why);
      // `hello` says that a place was free, not that it stays so: these failures count by themselves.
      const limits = now - was.since < SERVED_MS ? was.limits : 0;
      const [memory, effects] = wait(backoff(Math.max(LIMIT_WAIT_MS, was.retryMs), limits, random), why, true);
      return [{ ...memory, limits: limits + 1 }, effects];
    }

    case 'sleep':
      return final(was.link) ? [was, []] : to({ state: 'asleep' }, { do: 'abort' });

    case 'wake':
      // Also "try now" while a reconnect waits: somebody looks, or the network is back.
      if (was.link.state !== 'asleep' && was.link.state !== 'reconnecting') return [was, []];
      if (was.hold === null || was.hold.until <= now) return to({ state: 'connecting' }, { do: 'connect' });
      return to({ state: 'reconnecting', ...was.hold, limited: true }, { do: 'wait', ms: was.hold.until - now });
  }
}
