// What is being rolled out, by whom, how far it is, and why it is stuck.

import type { Rollout } from '../api/types';
import { duration, shortImage, shortPod } from '../format';
import { type State, elapsedOf, runs } from '../rollout/state';
import type { Watch } from './watch';

export function Head({ watch, state, failing }: { watch: Watch; state: State; failing: number }) {
  const rollout = watch.rollout.value;
  const images = changesOf(rollout?.images);
  const running = rollout !== null && runs(rollout);
  const elapsed = rollout && elapsedOf(rollout, watch.now());
  const left = running && rollout.phase !== 'paused' && elapsed !== null && typeof rollout?.deadline_ms === 'number' ? rollout.deadline_ms - elapsed : null;
  return (
    <>
      <section class="head">
        <h1>{watch.name} {rollout && <span class={`chip ${state.tone}`}><span aria-hidden="true">{state.glyph}</span>{state.text}</span>}</h1>
        <Meter watch={watch} failing={failing} />
        <div class="facts">
          {rollout?.revision && (
            <span>revision <b>{rollout.previous && rollout.previous !== rollout.revision ? `${rollout.previous} → ${rollout.revision}` : rollout.revision}</b></span>
          )}
          {images.map(({ from, to, containers }) => (
            <span key={containers[0]} title={`${containers.join(', ')}: ${from ? `${from} → ` : ''}${to}`}>
              {from && from !== to && <><code>{shortImage(from)}</code> → </>}<code>{shortImage(to)}</code>
              {containers.length > 1 && ` in ${containers.length} containers`}
            </span>
          ))}
          {rollout?.by && <span>by <b>{rollout.by}</b></span>}
          {elapsed !== null && <span>{running ? 'running' : 'took'} <b>{duration(elapsed)}</b>{left !== null && (left > 0 ? `, deadline in ${duration(left)}` : ', past its deadline')}</span>}
        </div>
      </section>
      <Why watch={watch} failing={failing} />
    </>
  );
}

/** Containers that change the same image are told of once. */
function changesOf(images: Rollout['images']): Array<{ from: string; to: string; containers: string[] }> {
  const made = new Map<string, { from: string; to: string; containers: string[] }>();
  for (const [container, image] of Object.entries(images ?? {})) {
    const known = made.get(`${image.from} ${image.to}`);
    if (known) known.containers.push(container);
    else made.set(`${image.from} ${image.to}`, { from: image.from ?? '', to: image.to ?? '', containers: [container] });
  }
  return [...made.values()];
}

function Meter({ watch, failing }: { watch: Watch; failing: number }) {
  const rollout = watch.rollout.value;
  if (!rollout || typeof rollout.desired !== 'number') return <div class="meter" />;
  const desired = rollout.desired;
  const ready = rollout.ready ?? 0;
  const old = rollout.old ?? 0;
  const coming = Math.max(0, (rollout.updated ?? 0) - ready - failing);
  const whole = Math.max(1, desired, ready + failing + coming + old);
  const part = (n: number, name: string) => n > 0 && <i class={name} style={{ width: `${(100 * n) / whole}%` }} />;
  const changing = old > 0 || rollout.phase === 'progressing' || rollout.phase === 'stalled';
  return (
    <div class="meter">
      <div class="n">{ready} of {desired} <small>{changing ? 'new pods ready' : 'pods ready'}{old > 0 && ` · ${old} old still ${old === 1 ? 'there' : 'serving'}`}</small></div>
      <div class="stack" role="img" aria-label={`${ready} ready, ${failing} failing, ${coming} coming, ${old} old`}>
        {part(ready, 'p-ready')}{part(Math.min(failing, whole), 'p-failing')}{part(coming, 'p-pulling')}{part(old, 'p-old')}
      </div>
    </div>
  );
}

/** The server's sentence; until it has one, what the pods say themselves. */
function Why({ watch, failing }: { watch: Watch; failing: number }) {
  const rollout = watch.rollout.value;
  const reasons = rollout?.reasons ?? [];
  const bad = failing > 0 || rollout?.phase === 'stalled' || reasons.length > 0 || (rollout?.phase === 'progressing' && Boolean(rollout.message));
  if (!bad) return null;
  const stuck = [...watch.model.pods.values()].filter((bar) => bar.side === 'new' && bar.pod.phase === 'failing').map((bar) => bar.pod);
  const first = stuck[0];
  const own = first && `${stuck.length} of ${Math.max(stuck.length, rollout?.updated ?? 0)} new pods ${stuck.length === 1 ? 'is' : 'are'} failing`;
  const said = rollout?.message || reasons[0]?.message || own || 'the rollout makes no progress';
  const sentence = said.charAt(0).toUpperCase() + said.slice(1);
  const colon = sentence.indexOf(': ');
  const more = reasons.length > 1
    ? reasons.slice(1).map((reason) => reason.message).join(' · ')
    : first && !(first.message && said.includes(first.message)) && `${shortPod(first.pod, watch.kind)}: ${[first.reason, first.message].filter(Boolean).join(', ') || 'failing'}`;
  return (
    <section class="why" role="status">
      <span class="g" aria-hidden="true">✗</span>
      <p>{colon > 0 ? <><b>{sentence.slice(0, colon + 1)}</b>{sentence.slice(colon + 1)}</> : <b>{sentence}</b>}</p>
      <button type="button" onClick={() => watch.view?.jumpError(-1)}>Show its last error <kbd aria-hidden="true">E</kbd></button>
      {more && <p class="more">{more}</p>}
    </section>
  );
}
