// Times, durations and names as people read them.

/** Whether times are shown in UTC or in the zone of the reader; page-wide. */
let utc = true;

export function setUtc(on: boolean): void {
  utc = on;
}

const two = (n: number): string => (n < 10 ? `0${n}` : String(n));

/** `14:03:22.318`, from ms since 1970. */
export function timeOfDay(ms: number, digits = 3): string {
  if (!Number.isFinite(ms)) return '';
  const shifted = utc ? ms : ms - new Date(ms).getTimezoneOffset() * 60_000;
  const day = ((shifted % 86_400_000) + 86_400_000) % 86_400_000;
  const head = `${two(Math.floor(day / 3_600_000))}:${two(Math.floor(day / 60_000) % 60)}:${two(Math.floor(day / 1_000) % 60)}`;
  if (digits === 0) return head;
  return `${head}.${String(Math.floor((day % 1_000) * 10 ** (digits - 3))).padStart(digits, '0')}`;
}

/** The time of day of an RFC 3339 time, to a tenth of a second. */
export function clock(time: string): string {
  return timeOfDay(Date.parse(time)).slice(0, -2);
}

/** `2026-11-22 14:03:22.318164 UTC`. */
export function fullTime(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown time';
  const shifted = new Date(utc ? ms : ms - new Date(ms).getTimezoneOffset() * 60_000);
  return `${shifted.toISOString().slice(0, 10)} ${timeOfDay(ms, 6)} ${utc ? 'UTC' : 'local'}`;
}

/** `45 s`, `1 m 48 s`, `2 h 05 m`, `3 d`. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${two(Math.floor(s / 60) % 60)} m`;
  return `${Math.floor(s / 86_400)} d`;
}

/** `40 s ago`, `26 m ago`, `2 h ago`, `3 d ago`. */
export function ago(ms: number, now: number): string {
  const s = Math.max(0, Math.round((now - ms) / 1_000));
  if (s < 60) return `${s} s ago`;
  if (s < 3_600) return `${Math.floor(s / 60)} m ago`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

export const count = (n: number): string => n.toLocaleString('en');

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** An image without its registry's host, and with a digest cut to what tells it apart. */
export function shortImage(image: string): string {
  const slash = image.indexOf('/');
  const host = image.slice(0, Math.max(0, slash));
  const rest = /[.:]/.test(host) || host === 'localhost' ? image.slice(slash + 1) : image;
  return rest.replace(/@sha256:([0-9a-f]{8})[0-9a-f]+$/, '@$1…');
}

/** The part of a pod's name that tells it from its siblings: a StatefulSet's pods have ordinals,
 * a bare pod has only its name, the others end in five random letters. */
export function shortPod(pod: string, kind: string): string {
  if (kind === 'pod' || kind === 'statefulset') return pod;
  const dash = pod.lastIndexOf('-');
  return dash > 0 && dash < pod.length - 1 ? pod.slice(dash + 1) : pod;
}
