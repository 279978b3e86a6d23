// Sentences for people about what is not a log line. Glyph first, so that colour is never needed.

import type { Gap, KubeEvent, Pod, Result, Rollout, SourceChange } from '../api/types';
import { clock, duration, shortPod } from '../format';

const GAP_CAUSES: Record<string, string> = {
  rotation_unproven: 'its log was rotated before they could be read',
  follow_lost: 'the reading broke off and the container ended before it could go on',
  attempt_collected: 'the node had already removed the log of that attempt',
  pod_removed: 'the pod was removed before its log was read to the end',
  node_unreachable: 'the node could not be reached',
  viewer_too_slow: 'this page read more slowly than the server forgets',
  history_evicted: 'older than what the server keeps',
  server_restart: 'the server was restarted, and nothing proves that it read them all again',
  limit_reached: 'a configured limit was reached',
  clock_step: "the node's clock stepped back",
  upstream_error: 'the API server failed while they were read',
};

export function tellGap(gap: Gap, kind: string): string {
  const what = gap.count === 1 ? '1 line' : typeof gap.count === 'number' ? `${gap.count.toLocaleString('en')} lines` : 'Lines';
  const whose = gap.pod ? ` of ${shortPod(gap.pod, kind)}${gap.container ? `/${gap.container}` : ''}` : gap.workload ? ` of ${gap.workload}` : '';
  // The zone is named: this sentence is made once, the page's choice of zone may change later.
  const range = gap.from && gap.to && Date.parse(gap.to) > Date.parse(gap.from)
    ? ` between ${clock(gap.from)} and ${clock(gap.to)} UTC`
    : gap.from ? ` after ${clock(gap.from)} UTC` : gap.to ? ` before ${clock(gap.to)} UTC` : '';
  const are = gap.reason === 'server_restart' && typeof gap.count !== 'number' ? 'may be' : gap.count === 1 ? 'is' : 'are';
  return `⚠ ${what}${whose} ${are} missing${range}: ${GAP_CAUSES[gap.reason] ?? gap.reason.replaceAll('_', ' ')}`;
}

/** What is wrong with the clock of a source's node, by the machine's word. */
const CLOCKS: Record<string, string> = {
  clock_ahead: 'the clock of its node is ahead: its lines look newer than they are',
  clock_behind: 'its lines come long after their time: the clock of its node is behind, or the reading',
  clock_step: 'the clock of its node was set back',
};

export function tellSource(source: SourceChange, kind: string): string {
  const name = `${shortPod(source.pod, kind)}/${source.container}`;
  const attempt = source.attempt > 1 ? `, attempt ${source.attempt}` : '';
  const why = source.reason ? ` (${source.reason.replaceAll('_', ' ')})` : '';
  switch (source.state) {
    case 'waiting':
      return `… ${name}${attempt} waits to be read${why}`;
    case 'following':
      if (source.reason && CLOCKS[source.reason]) return `▸ ${name}${attempt}: ${CLOCKS[source.reason]}`;
      return `▸ reading ${name}${attempt}${source.from_start ? ' from its start' : source.from_start === false ? ', earlier lines not read' : ''}`;
    case 'ended': {
      const lines = typeof source.lines === 'number' ? ` after ${source.lines.toLocaleString('en')} ${source.lines === 1 ? 'line' : 'lines'}` : '';
      return source.complete
        ? `■ ${name}${attempt} ended${lines}; its log is complete`
        : `■ ${name}${attempt} ended${lines}; its log is not complete${why}`;
    }
  }
}

export function tellEvent(event: KubeEvent, kind: string): string {
  const object = event.object
    ? event.object.kind === 'pod' ? ` ${shortPod(event.object.name, kind)}` : ` ${event.object.kind} ${event.object.name}`
    : '';
  const times = event.count && event.count > 1 ? ` (${event.count} times)` : '';
  return `${event.type === 'Warning' ? '⚠' : '●'} ${event.reason}${object}: ${event.message}${times}`;
}

const PHASE_WORDS: Record<string, string> = {
  unscheduled: 'waits for a node',
  pulling: 'pulls its image',
  init: 'runs its init containers',
  starting: 'is starting',
  running: 'runs, not ready',
  ready: 'is ready',
  failing: 'is failing',
  succeeded: 'ended well',
  terminating: 'is terminating',
  gone: 'is gone',
};

const PHASE_GLYPHS: Record<string, string> = {
  ready: '✓', succeeded: '✓', failing: '✗', terminating: '↓', gone: '–',
};

/** What changed about a pod, or null if nothing worth a row did. */
export function tellPod(pod: Pod, before: Pod | undefined, kind: string): string | null {
  const name = shortPod(pod.pod, kind);
  for (const container of pod.containers ?? []) {
    const was = before?.containers?.find((other) => other.name === container.name);
    if (!was) continue;
    if (container.state === 'running' && (container.attempt ?? 1) > (was.attempt ?? 1)) {
      return `↻ ${name}/${container.name} started again, attempt ${container.attempt}`;
    }
    // An init container that is done is no exit worth telling; the next phase tells it.
    const done = container.kind === 'init' && container.exit_code === 0;
    if (!done && was.state === 'running' && container.state !== 'running' && pod.phase !== 'terminating') {
      const code = typeof container.exit_code === 'number' ? ` with code ${container.exit_code}` : '';
      const why = container.reason && container.reason !== 'Error' && container.reason !== 'Completed' ? ` (${container.reason})` : '';
      const glyph = container.exit_code === 0 ? '■' : '✗';
      return `${glyph} ${name}/${container.name} exited${code}${why}`;
    }
  }
  const same = before && before.phase === pod.phase && before.phase_detail === pod.phase_detail && before.reason === pod.reason;
  if (same) return null;
  const glyph = PHASE_GLYPHS[pod.phase] ?? '●';
  const detail = pod.phase === 'init' && pod.phase_detail ? ` (${pod.phase_detail})` : '';
  const why = pod.message ?? pod.reason;
  const where = !before && pod.node ? ` on ${pod.node}` : '';
  return `${glyph} ${name} ${PHASE_WORDS[pod.phase] ?? pod.phase}${detail}${where}${why ? `: ${why}` : ''}`;
}

/** What changed about the rollout, or null: replica counts alone are in the header. */
export function tellRollout(now: Rollout, before: Rollout | undefined): string | null {
  if (before && before.phase === now.phase && before.revision === now.revision) return null;
  const revision = now.revision ? ` of revision ${now.revision}` : '';
  const took = typeof now.elapsed_ms === 'number' ? ` after ${duration(now.elapsed_ms)}` : '';
  switch (now.phase) {
    case 'waiting':
      return `◆ rollout${revision} asked for; the controller has not seen it yet`;
    case 'progressing':
      return `◆ rollout${revision} in progress${now.previous ? `, it replaces revision ${now.previous}` : ''}`;
    case 'paused':
      return `◆ rollout${revision} ${now.message || 'paused'}`;
    case 'waiting_for_delete':
      return `◆ rollout${revision} waits: ${now.message || 'somebody has to delete its old pods'}`;
    case 'stalled':
      return `✗ rollout${revision} stalled${took}: ${now.message || 'its deadline passed'}`;
    case 'complete':
      return `✓ rollout${revision} complete${took}`;
    case 'scaled_to_zero':
      return '◆ scaled to zero';
    case 'deleted':
      return '◆ the workload was deleted';
    case 'unknown':
      return `? rollout${revision} unknown: ${now.message || 'the server cannot tell how it stands'}`;
  }
}

export function tellResult(result: Result): string {
  const took = typeof result.duration_ms === 'number' ? ` after ${duration(result.duration_ms)}` : '';
  return `${result.outcome === 'succeeded' ? '✓' : '✗'} result: ${result.outcome.replaceAll('_', ' ')}${took}${result.message ? `: ${result.message}` : ''}`;
}
