// The list of workloads.

import { useComputed } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Workload } from '../api/types';
import { idOf, listState, watchWorkloads, workloads } from '../api/workloads';
import { ago, plural, shortImage } from '../format';
import { type Tone, stateOf } from '../rollout/state';
import { Bar, type Freshness } from './Bar';
import { helpOpen } from './Help';
import { Login } from './Login';
import { Notice } from './Notice';
import { now } from './clock';
import { get, go, pathOf, setQuery } from './route';
import { setTitle } from './title';

/** The server has a sentence only for what is in trouble. */
const stateFor = (item: Workload) => stateOf(item.phase, (item.failing ?? 0) > 0 || Boolean(item.message), item);

/** Trouble first, then what moves; the server's order, by name, within. */
const RANK: Record<Tone, number> = { bad: 0, warn: 1, ok: 2, idle: 2 };

export function Home() {
  useEffect(watchWorkloads, []);
  const find = useRef<HTMLInputElement>(null);
  useEffect(() => bindKeys(find), []);
  const q = get('q').toLowerCase();
  const namespace = get('ns');
  const only = get('state');
  const all = workloads.value;
  const namespaces = useComputed(() => [...new Set(workloads.value.map((item) => item.namespace))].sort()).value;

  const here = all.filter((item) => !namespace || item.namespace === namespace);
  const failing = here.filter((item) => stateFor(item).tone === 'bad');
  const rolling = here.filter((item) => stateFor(item).text === 'rolling out');
  const shown = [...(only === 'failing' ? failing : only === 'rolling' ? rolling : here)]
    .filter((item) => !q || `${idOf(item)} ${(item.images ?? []).join(' ')} ${item.message ?? ''}`.toLowerCase().includes(q))
    .sort((a, b) => RANK[stateFor(a).tone] - RANK[stateFor(b).tone]);
  const allFailing = all.filter((item) => stateFor(item).tone === 'bad').length;
  useEffect(() => setTitle(allFailing > 0 ? `✗ ${allFailing} failing · rollcast` : 'Workloads · rollcast', allFailing > 0 ? 'bad' : 'idle'), [allFailing]);

  const state = listState.value;
  const field = (
    <label class="find">
      <input
        ref={find} type="search" value={get('q')} placeholder="Workload, namespace, image …" aria-label="Filter workloads"
        spellcheck={false} autocomplete="off" onInput={(event) => setQuery('q', event.currentTarget.value)}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
  const bar = <Bar crumb={namespace && <b>{namespace}</b>} fresh={freshness()} find={state.state === 'signed_out' ? null : field} onHelp={() => (helpOpen.value = true)} />;
  if (state.state === 'signed_out') return <>{bar}<Login /></>;
  if (state.state === 'refused') {
    return <>{bar}<Notice glyph="✗" title="The server refused the list of workloads"><p>{state.why}</p></Notice></>;
  }

  const chip = (value: string, label: string, n: number) => (
    <button type="button" class={`tag${only === value ? ' on' : ''}`} aria-pressed={only === value} onClick={() => setQuery('state', only === value ? '' : value)}>
      {label} <span class="n">{n}</span>
    </button>
  );
  return (
    <>
      {bar}
      <main class="home">
        <div class="tabs">
          <h1>Workloads</h1>
          <span class={`tag pick${namespace ? ' on' : ''}`}>
            <select aria-label="Namespace" value={namespace} onChange={(event) => setQuery('ns', event.currentTarget.value)}>
              <option value="">all namespaces</option>
              {(namespace && !namespaces.includes(namespace) ? [...namespaces, namespace] : namespaces).map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </span>
          {chip('failing', 'failing', failing.length)}
          {chip('rolling', 'rolling out', rolling.length)}
          <span class="grow" />
          <span class="crumb">{state.state !== 'loading' && `${plural(all.length, 'workload')} you may read`}</span>
        </div>
        {state.state === 'stale' && all.length > 0 && (
          <p class="strip" role="status">⚠ This list is not fresh: {state.why}.</p>
        )}
        {shown.length > 0
          ? <List items={shown} />
          : <Empty loading={state.state === 'loading'} stale={state.state === 'stale' ? state.why : ''} none={all.length === 0} />}
      </main>
    </>
  );
}

function freshness(): Freshness {
  const state = listState.value;
  if (state.state === 'live') return { tone: 'ok', glyph: '●', text: 'live', title: 'asked for every two seconds' };
  if (state.state === 'stale') {
    const left = Math.max(0, Math.ceil((state.until - now.value) / 1_000));
    return { tone: 'warn', glyph: '↻', text: left > 0 ? `reconnecting in ${left} s` : 'reconnecting', title: state.why };
  }
  if (state.state === 'signed_out') return { tone: 'idle', glyph: '○', text: 'signed out' };
  if (state.state === 'refused') return { tone: 'bad', glyph: '✗', text: 'refused' };
  return { tone: 'idle', glyph: '…', text: 'connecting' };
}

function List({ items }: { items: Workload[] }) {
  return (
    <table class="list">
      <thead>
        <tr><th scope="col">workload</th><th scope="col">state</th><th scope="col">ready</th><th scope="col">image</th><th scope="col">last change</th></tr>
      </thead>
      <tbody>{items.map((item) => <Line key={idOf(item)} item={item} />)}</tbody>
    </table>
  );
}

function Line({ item }: { item: Workload }) {
  const state = stateFor(item);
  const href = pathOf(item.namespace, item.kind, item.name);
  const images = item.images ?? [];
  return (
    <tr data-workload={idOf(item)} onClick={(event) => event.target instanceof Element && !event.target.closest('a') && getSelection()?.isCollapsed && go(href)}>
      <td class="who">
        <a class="n" href={href}>{item.name}</a> <span class="s">{item.namespace} · {item.kind}</span>
        {item.message && <><br /><span class="s">{item.message}</span></>}
      </td>
      <td><span class={`chip ${state.tone}`}><span aria-hidden="true">{state.glyph}</span>{state.text}</span></td>
      <td class="num">{typeof item.desired === 'number' ? `${item.ready ?? 0}/${item.desired}` : '–'}</td>
      <td class="img"><code title={images.join('\n')}>{shortImage(images[0] ?? '')}</code>{images.length > 1 && <span class="s"> +{images.length - 1}</span>}</td>
      <td class="s when"><Ago time={item.changed} /></td>
    </tr>
  );
}

function Ago({ time }: { time: string | null | undefined }) {
  const ms = time ? Date.parse(time) : Number.NaN;
  return Number.isFinite(ms) ? <time dateTime={time ?? ''} title={time ?? ''}>{ago(ms, now.value)}</time> : null;
}

function Empty({ loading, stale, none }: { loading: boolean; stale: string; none: boolean }) {
  if (loading) return <p class="empty">Asking for workloads …</p>;
  if (stale && none) return <p class="empty"><b>⚠ No list yet: {stale}.</b><br />This page tries again by itself.</p>;
  if (none) {
    return (
      <p class="empty">
        <b>No workloads that you may read.</b><br />
        rollcast shows the namespaces in which your account may <code>get pods/log</code>. Try <code>kubectl auth can-i get pods/log -n NAMESPACE</code>.
      </p>
    );
  }
  return (
    <p class="empty">
      <b>Nothing matches.</b><br />
      <button type="button" class="tag" onClick={() => ['q', 'ns', 'state'].forEach((name) => setQuery(name, ''))}>clear the filter</button>
    </p>
  );
}

function bindKeys(find: { current: HTMLInputElement | null }): () => void {
  const onKey = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if ((event.key === 'k' && (event.ctrlKey || event.metaKey)) || (event.key === '/' && !typing)) {
      event.preventDefault();
      find.current?.focus();
      find.current?.select();
      return;
    }
    if (event.key === 'Escape' && event.target === find.current) {
      if (get('q')) setQuery('q', '');
      else find.current?.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '?' && !typing) helpOpen.value = true;
    const down = event.key === 'ArrowDown' || (event.key === 'j' && !typing);
    const up = event.key === 'ArrowUp' || (event.key === 'k' && !typing);
    if (!down && !up) {
      if (event.key === 'Enter' && event.target === find.current) document.querySelector<HTMLAnchorElement>('.list a.n')?.click();
      return;
    }
    if (event.target instanceof HTMLSelectElement) return;
    const links = [...document.querySelectorAll<HTMLAnchorElement>('.list a.n')];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    const next = links[Math.max(0, Math.min(links.length - 1, at + (down ? 1 : -1)))];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
