// The merged log with its tools. The rows are the view's; this only says what to show.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { count, plural, setUtc, shortPod } from '../format';
import { LEVELS } from '../log/batch';
import { drawMap } from '../log/map';
import { LogView } from '../log/view';
import { Details } from './Details';
import { bindLogKeys } from './keys';
import { get, setQuery } from './route';
import { announce } from './status';
import { isDark } from './theme';
import type { Watch } from './watch';

const LEVEL_CHOICES = ['debug', 'info', 'warn', 'error'] as const;
/** Colours there are for pods; they repeat beyond. */
const COLOURS = 8;

export function LogPane({ watch, seek }: { watch: Watch; seek: { current: ((ms: number) => void) | null } }) {
  const host = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const map = useRef<HTMLCanvasElement>(null);
  const version = useSignal(0);
  const opened = useSignal(-1);
  void version.value;

  useEffect(() => {
    if (!host.current) return;
    const colours = new Map<string, number>();
    const view = new LogView(host.current, watch.store, watch.model.oldPods, {
      kind: watch.kind,
      query: null,
      colour: (pod) => {
        let colour = colours.get(pod);
        if (colour === undefined) colours.set(pod, (colour = colours.size % COLOURS));
        return colour;
      },
    }, {
      changed: () => version.value++,
      open: (id) => (opened.value = id),
    });
    watch.view = view;
    seek.current = (ms) => view.goToTime(ms);
    const unbind = bindLogKeys(view, field, opened);
    return () => {
      unbind();
      view.destroy();
      watch.view = null;
      seek.current = null;
    };
  }, []);

  const q = get('q');
  const level = get('level');
  const pod = get('pod');
  const container = get('container');
  const side = get('side');
  const wrap = get('wrap') === '1';
  const local = get('tz') === 'local';
  const view = watch.view;
  useEffect(() => watch.view?.setQuery(q), [q]);
  useEffect(() => watch.view?.setWrap(wrap), [wrap]);
  useEffect(() => {
    setUtc(!local);
    watch.view?.refresh();
  }, [local]);
  useEffect(() => {
    watch.view?.setFilter({
      level: Math.max(0, LEVELS.indexOf(level as (typeof LEVELS)[number])),
      pod, container,
      side: side === 'new' || side === 'old' ? side : '',
    });
  }, [level, pod, container, side]);

  const facts = watch.facts.value;
  const dark = isDark();
  useEffect(() => {
    if (map.current && watch.view) drawMap(map.current, watch.view, watch.store.errorIds);
  }, [facts, version.value, dark, q, level, pod, container, side]);
  const follow = view?.follow ?? true;
  const hits = view?.search.hits.length ?? 0;
  const containers = [...new Set(watch.store.sources.map((source) => source.container).filter(Boolean))].sort();
  useEffect(() => {
    if (!follow && view && view.missedLines > 0) announce(`${plural(view.missedLines, 'new line')}, ${plural(view.missedErrors, 'error')}`);
  }, [facts.lines]);

  return (
    <section class="logp" aria-label="Log">
      <div class="tool" role="toolbar" aria-label="Log tools">
        <label class="q">
          <input
            ref={field} type="search" value={q} placeholder="Search the log: timeout|refused" aria-label="Search the log" spellcheck={false} autocomplete="off"
            onInput={(event) => setQuery('q', event.currentTarget.value)}
          />
          {q
            ? <span class="found" data-hits={hits}>{view && view.hitNumber > 0 ? `${count(view.hitNumber)} of ` : ''}{count(hits)}{view && !view.search.done ? '…' : ''} <kbd aria-hidden="true">n</kbd></span>
            : <kbd aria-hidden="true">/</kbd>}
        </label>
        <button type="button" class={`tag${side === 'new' ? ' on' : ''}`} aria-pressed={side === 'new'} onClick={() => setQuery('side', side === 'new' ? '' : 'new')}>new pods</button>
        {pod && <button type="button" class="tag on" onClick={() => setQuery('pod', '')} aria-label={`Only pod ${pod}; show all pods`}>{shortPod(pod, watch.kind)} <span aria-hidden="true">✕</span></button>}
        {(containers.length > 1 || container) && (
          <span class={`tag pick${container ? ' on' : ''}`}>
            <select aria-label="Container" value={container} onChange={(event) => setQuery('container', event.currentTarget.value)}>
              <option value="">all containers</option>
              {(container && !containers.includes(container) ? [...containers, container] : containers).map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </span>
        )}
        <span class={`tag pick${level ? ' on' : ''}`}>
          <select aria-label="Least level" value={level} onChange={(event) => setQuery('level', event.currentTarget.value)}>
            <option value="">all levels</option>
            {LEVEL_CHOICES.map((name) => <option key={name} value={name}>level ≥ {name}</option>)}
          </select>
        </span>
        <span class="lv">errors <b class={facts.errors > 0 ? 'some' : ''} data-errors={facts.errors}>{count(facts.errors)}</b> · warnings {count(facts.warnings)}</span>
        <span class="grow" />
        <button type="button" class={`tag${wrap ? ' on' : ''}`} aria-pressed={wrap} onClick={() => setQuery('wrap', wrap ? '' : '1')}>wrap</button>
        <button type="button" class="tag" onClick={() => setQuery('tz', local ? '' : 'local')} aria-label={`Times in ${local ? 'local time' : 'UTC'}; change`}>{local ? 'local' : 'UTC'}</button>
        <button type="button" class={`tag follow${follow ? ' on' : ''}`} aria-pressed={follow} onClick={() => view?.setFollow(!follow)}>{follow ? 'following' : 'paused'} <kbd aria-hidden="true">f</kbd></button>
      </div>
      <div class="logbox">
        <canvas class="map" ref={map} aria-hidden="true" onClick={(event) => view?.goToPart(event.offsetY / event.currentTarget.clientHeight)} />
        <div class="log" ref={host} role="log" aria-live="off" aria-label={`Merged log of ${watch.name}`} tabindex={0} />
        {facts.lines === 0 && watch.store.end === 0 && <p class="empty quiet">{watch.link.value.state === 'live' ? 'No lines yet. What the pods write appears here.' : watch.link.value.state === 'reconnecting' ? `Not connected: ${watch.link.value.why}. This page tries again by itself.` : 'Asking for lines …'}</p>}
        {view && watch.store.end > 0 && view.selection.length === 0 && <p class="empty quiet">No line passes the filter.</p>}
        {!follow && (
          <button type="button" class="pill" onClick={() => view?.setFollow(true)}>
            {view && view.missedLines > 0
              ? `${plural(view.missedLines, 'new line')}${view.missedErrors > 0 ? `, ${plural(view.missedErrors, 'error')}` : ''} ↓`
              : 'to the newest ↓'}
          </button>
        )}
      </div>
      {opened.value >= 0 && <Details store={watch.store} id={opened.value} onClose={() => (opened.value = -1)} />}
    </section>
  );
}
