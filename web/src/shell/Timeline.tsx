// The rollout on a time axis: a lane of new pods, a lane of old ones, and how much they logged.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { PodPhase } from '../api/types';
import { shortPod, timeOfDay } from '../format';
import { type Lane, laneOf, ticks, windowOf } from '../rollout/layout';
import type { PodBar } from '../rollout/model';
import { get } from './route';
import type { Watch } from './watch';

const LEGEND: Array<[PodPhase, string]> = [
  ['unscheduled', 'unscheduled'], ['pulling', 'pulling'], ['init', 'init'], ['starting', 'starting'], ['running', 'not ready'],
  ['ready', 'ready'], ['failing', 'failing'], ['terminating', 'terminating'],
];
const ROW = 18;
const BARS = 26;

export function Timeline({ watch, onPod, onTime }: { watch: Watch; onPod(pod: string): void; onTime(ms: number): void }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    if (box.current) watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  void watch.pods.value;
  const [from, to] = windowOf(watch.model, watch.now(), watch.began());
  const lanes = [laneOf(watch.model, 'new', from), laneOf(watch.model, 'old', from)].filter((lane) => lane.bars.length > 0);
  if (lanes.length === 0) return <section class="tl" ref={box} />;

  const narrow = width < 640;
  const left = narrow ? 84 : 176;
  const right = width - (narrow ? 4 : 34);
  const x = (ms: number) => left + ((right - left) * (Math.max(from, Math.min(to, ms)) - from)) / (to - from);
  const parts: ComponentChildren[] = [];
  let y = 18;
  for (const lane of lanes) {
    parts.push(
      <g key={lane.side}>
        <text x="0" y={y + 14} class="lane">{lane.side}</text>
        <text x={narrow ? 30 : 62} y={y + 14} class="rev">{lane.revision ? `${narrow ? 'rev' : 'revision'} ${shortRevision(lane.revision)}` : ''}</text>
      </g>,
    );
    y += 20;
    for (const bar of lane.bars) {
      parts.push(<Bar key={bar.pod.pod} bar={bar} y={y} x={x} from={from} kind={watch.kind} narrow={narrow} onPod={onPod} />);
      y += ROW;
    }
    if (lane.rest) {
      parts.push(<text key={`${lane.side}+`} x={left} y={y + 11} class="rest">and {lane.rest}</text>);
      y += ROW;
    }
    y += 4;
  }
  const floor = y;
  const height = floor + BARS + 6;
  const seek = (event: MouseEvent) => {
    const at = event.clientX - (event.currentTarget as Element).getBoundingClientRect().left;
    if (at >= left && at <= right) onTime(from + ((at - left) / (right - left)) * (to - from));
  };
  return (
    <section class="tl" ref={box}>
      {width > 0 && (
        <svg width={width} height={height} role="group" aria-label={summary(lanes)} onClick={seek}>
          {ticks(from, to, narrow ? 4 : 9).map(({ at, whole }, index) => (
            <g key={at}>
              <line x1={x(at)} x2={x(at)} y1="18" y2={floor} class="tick" />
              {x(at) < right - 20 && <text x={x(at)} y="12" class="at" text-anchor="middle">{narrow ? timeOfDay(at, 0).slice(0, 5 + (whole ? 0 : 3)) : whole || index === 0 ? timeOfDay(at, 0) : timeOfDay(at, 0).slice(5)}</text>}
            </g>
          ))}
          {parts}
          <Rates watch={watch} from={from} to={to} x={x} base={height - 4} />
          {!narrow && <text x="0" y={height - 6} class="rev">lines/s, errors in red</text>}
          <line x1={right} x2={right} y1="18" y2={floor} class="now" />
          {!narrow && <text x={right + 4} y={floor - 3} class="nowt">now</text>}
        </svg>
      )}
      <div class="legend" aria-hidden="true">
        {LEGEND.map(([phase, word]) => <span key={phase}><i class={`p-${phase}`} />{word}</span>)}
        <span>↻ restart</span><span>✗ exit</span>
      </div>
    </section>
  );
}

function Bar({ bar, y, x, from, kind, narrow, onPod }: {
  bar: PodBar; y: number; x(ms: number): number; from: number; kind: string; narrow: boolean; onPod(pod: string): void;
}) {
  const picked = get('pod');
  const name = shortPod(bar.pod.pod, kind);
  const { phase, phase_detail: detail, reason } = bar.pod;
  const label = `${bar.pod.pod}: ${phase}${detail ? ` ${detail}` : ''}${reason ? `, ${reason}` : ''}${bar.pod.restarts ? `, ${bar.pod.restarts} restarts` : ''}`;
  const pick = (event: Event) => {
    event.stopPropagation();
    onPod(bar.pod.pod);
  };
  const fits = narrow ? 9 : 18;
  const shown = name === bar.pod.pod ? (name.length > fits ? `…${name.slice(-fits + 1)}` : name) : `…-${name}`;
  return (
    <g
      class={`pod${picked === bar.pod.pod ? ' on' : picked ? ' off' : ''}`} role="button" tabindex={0} aria-label={`${label}. Show only its lines`}
      aria-pressed={picked === bar.pod.pod} data-pod={bar.pod.pod} data-phase={phase} onClick={pick}
      onKeyDown={(event) => (event.key === 'Enter' || event.key === ' ') && (event.preventDefault(), pick(event))}
    >
      <title>{label}</title>
      <rect class="hit" x="0" y={y - 2} width="100%" height={ROW} />
      <text x={narrow ? 0 : 14} y={y + 11} class="name">{shown}</text>
      {bar.segments.map((segment) => {
        const to = segment.to ?? Number.MAX_SAFE_INTEGER;
        if (to < from) return null;
        return <rect key={segment.from} class={`p-${segment.phase}`} x={x(segment.from)} y={y} width={Math.max(2, x(to) - x(segment.from) - 1)} height="13" rx="2" />;
      })}
      {bar.marks.filter((mark) => mark.at >= from).map((mark) => (
        <text key={`${mark.at}${mark.glyph}`} class="mark" x={x(mark.at)} y={y + 11} text-anchor="middle">{mark.glyph}</text>
      ))}
    </g>
  );
}

/** At most this many columns, whatever the width. */
const MAX_COLUMNS = 180;

function Rates({ watch, from, to, x, base }: { watch: Watch; from: number; to: number; x(ms: number): number; base: number }) {
  void watch.facts.value;
  const step = Math.max(1, Math.ceil((to - from) / 1_000 / MAX_COLUMNS));
  const first = Math.floor(from / 1_000 / step);
  const columns = new Map<number, [number, number]>();
  for (const [second, [lines, errors]] of watch.model.rates) {
    const column = Math.floor(second / step);
    if (column <= first || column * step * 1_000 > to) continue;
    const sum = columns.get(column) ?? [0, 0];
    columns.set(column, [sum[0] + lines, sum[1] + errors]);
  }
  let most = 1;
  for (const [lines] of columns.values()) most = Math.max(most, lines);
  const wide = Math.max(1, x(from + step * 1_000) - x(from) - 1);
  const end = x(to);
  const high = (n: number) => (n === 0 ? 0 : Math.max(1.5, (BARS - 4) * (n / most)));
  return (
    <g class="rates">
      {[...columns].map(([column, [lines, errors]]) => {
        const left = x(column * step * 1_000);
        return (
          <g key={column}>
            <rect class="lines" x={left} y={base - high(lines)} width={Math.min(wide, Math.max(1, end - left))} height={high(lines)} />
            {errors > 0 && <rect class="errors" x={left} y={base - high(errors)} width={Math.min(wide, Math.max(1, end - left))} height={high(errors)} />}
          </g>
        );
      })}
    </g>
  );
}

/** Job revisions are UIDs; their beginning tells them apart. */
const shortRevision = (revision: string): string => (revision.length > 12 ? `${revision.slice(0, 8)}…` : revision);

function summary(lanes: Lane[]): string {
  return `Timeline of pods: ${lanes.map((lane) => `${lane.bars.length} ${lane.side}${lane.rest ? ` and ${lane.rest}` : ''}`).join('; ')}`;
}
