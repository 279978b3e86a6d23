// Chooses the page for the address.

import { Bar } from './Bar';
import { Help, helpOpen } from './Help';
import { Home } from './Home';
import { Notice } from './Notice';
import { Workload } from './Workload';
import { route } from './route';
import { Status } from './status';

export function App() {
  const at = route.value;
  return (
    <>
      {at.page === 'home' && <Home />}
      {at.page === 'workload' && (
        <Workload key={`${at.namespace}/${at.kind}/${at.name}`} namespace={at.namespace} kind={at.kind} name={at.name} />
      )}
      {at.page === 'lost' && (
        <>
          <Bar onHelp={() => (helpOpen.value = true)} />
          <Notice glyph="?" title="There is no such page">
            <p>Workloads are at <code>/w/NAMESPACE/KIND/NAME</code>. <a class="link" href="/">See the list of workloads</a></p>
          </Notice>
        </>
      )}
      <Help />
      <Status />
    </>
  );
}
