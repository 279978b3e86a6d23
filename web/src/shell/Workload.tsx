// One workload: its state, its timeline, its log.

import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { count, duration, plural } from '../format';
import { stateOf } from '../rollout/state';
import { Bar, type Freshness } from './Bar';
import { Head } from './Head';
import { helpOpen } from './Help';
import { LogPane } from './LogPane';
import { Login } from './Login';
import { Notice } from './Notice';
import { Timeline } from './Timeline';
import { Watch } from './watch';
import { now } from './clock';
import { get, setQuery } from './route';
import { setTitle } from './title';

export function Workload({ namespace, kind, name }: { namespace: string; kind: string; name: string }) {
  const watch = useMemo(() => new Watch(namespace, kind, name), []);
  useEffect(() => {
    watch.start();
    return () => watch.stop();
  }, []);
  const seek = useRef<((ms: number) => void) | null>(null);
  const failing = useComputed(() => {
    void watch.pods.value;
    return [...watch.model.pods.values()].filter((bar) => bar.side === 'new' && bar.pod.phase === 'failing').length;
  });
  const state = stateOf(watch.rollout.value?.phase, failing.value > 0 || Boolean(watch.rollout.value?.message), watch.rollout.value);
  useEffect(() => setTitle(`${watch.rollout.value ? `${state.glyph} ` : ''}${name} · ${namespace} · rollcast`, state.tone), [state.glyph, state.tone]);
  const began = useSignal(false);
  const link = watch.link.value;
  if (link.state === 'behind' || link.state === 'live') began.value = true;

  const crumb = (
    <>
      <a href={`/?ns=${encodeURIComponent(namespace)}`}>{namespace}</a> / <b>{kind} {name}</b>
    </>
  );
  const bar = <Bar crumb={crumb} fresh={freshness(watch)} onHelp={() => (helpOpen.value = true)} />;

  if (link.state === 'signed_out') return <>{bar}<Login /></>;
  if (!began.value && link.state === 'not_found') {
    return (
      <>
        {bar}
        <Notice glyph="?" title={`No ${kind} “${name}” in ${namespace}, or you may not read it`}>
          {link.detail && !link.detail.includes('may not read it') && <p class="said">{link.detail}</p>}
          <p>What does not exist and what you may not see look the same here, on purpose. Check the name with <code>kubectl get {kind} -n {namespace}</code>, and your rights with <code>kubectl auth can-i get pods/log -n {namespace}</code>.</p>
          <p><a class="link" href="/">See the list of workloads</a></p>
        </Notice>
      </>
    );
  }
  if (!began.value && link.state === 'refused') {
    return <>{bar}<Notice glyph="✗" title={`The server refused the stream (${link.status})`}><p>{link.detail || 'It gave no reason.'}</p></Notice></>;
  }
  return (
    <>
      {bar}
      <main class="work">
        <Head watch={watch} state={state} failing={failing.value} />
        <Timeline watch={watch} onPod={(pod) => setQuery('pod', get('pod') === pod ? '' : pod)} onTime={(ms) => seek.current?.(ms)} />
        <LogPane watch={watch} seek={seek} />
        <Foot watch={watch} />
      </main>
    </>
  );
}

function freshness(watch: Watch): Freshness {
  const link = watch.link.value;
  const tryNow = () => watch.tryNow();
  switch (link.state) {
    case 'connecting':
      return { tone: 'idle', glyph: '…', text: 'connecting' };
    case 'behind':
      return { tone: 'warn', glyph: '◔', text: 'behind', title: 'reading what happened before' };
    case 'live':
      return { tone: 'ok', glyph: '●', text: 'live' };
    case 'reconnecting': {
      const left = Math.max(0, Math.ceil((link.until - now.value) / 1_000));
      const soon = left > 0 ? ` in ${duration(left * 1_000)}` : '';
      // The server said when; to ask sooner would gain nothing.
      if (link.limited) return { tone: 'warn', glyph: '‖', text: `limited, again${soon}`, title: link.why };
      return { tone: 'warn', glyph: '↻', text: `reconnecting${soon}`, title: link.why, retry: left > 2 ? tryNow : undefined };
    }
    case 'asleep':
      return { tone: 'idle', glyph: '☾', text: 'asleep', title: 'closed while the tab was hidden' };
    case 'ended':
      return { tone: 'idle', glyph: '■', text: 'ended', title: link.why };
    case 'signed_out':
      return { tone: 'idle', glyph: '○', text: 'signed out' };
    case 'not_found':
      return { tone: 'bad', glyph: '?', text: 'not found', title: link.detail };
    case 'refused':
      return { tone: 'bad', glyph: '✗', text: `refused (${link.status})`, title: link.detail };
  }
}

function Foot({ watch }: { watch: Watch }) {
  const facts = watch.facts.value;
  void watch.pods.value;
  const pods = [...watch.model.pods.values()].filter((bar) => bar.pod.phase !== 'gone').length;
  const link = watch.link.value;
  return (
    <footer class="foot">
      <span><b data-lines={facts.lines}>{count(facts.lines)}</b> {facts.lines === 1 ? 'line' : 'lines'}</span>
      <span class={facts.gaps > 0 ? 'gaps' : ''}>{facts.gaps > 0 && <span aria-hidden="true">⚠ </span>}<b data-gaps={facts.gaps}>{count(facts.gaps)}</b> {facts.gaps === 1 ? 'gap' : 'gaps'}</span>
      {facts.forgotten > 0 && <span title="This tab keeps the newest million rows">oldest {count(facts.forgotten)} rows let go</span>}
      {facts.repeated > 0 && <span class="wide" title="Lines that a restarted server or another replica sent again"><b data-repeated={facts.repeated}>{count(facts.repeated)}</b> repeats left out</span>}
      <span class="wide">{plural(pods, 'pod')}, {plural(facts.sources, 'container')} read</span>
      <span class="grow" />
      <span>
        {link.state === 'live'
          ? `${count(facts.rate)} lines/s${facts.lag !== null && facts.lag < 60_000 ? ` · ${(facts.lag / 1_000).toFixed(1)} s behind` : ''}`
          : link.state === 'reconnecting' ? `⚠ ${link.why}` : ''}
      </span>
    </footer>
  );
}
