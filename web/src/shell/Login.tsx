// Asks for a token. It is sent with every request and kept in this tab only.

import { useRef } from 'preact/hooks';
import { setToken, token } from '../api/http';

export function Login() {
  const field = useRef<HTMLInputElement>(null);
  // The token may already be gone by the next draw: what was refused is told from the first one.
  const refused = useRef(token.value !== null);
  const submit = (event: Event) => {
    event.preventDefault();
    const value = field.current?.value.trim() ?? '';
    if (value !== '') setToken(value);
  };
  return (
    <main class="card">
      <form onSubmit={submit}>
        <h1>Sign in</h1>
        {refused.current
          ? <p class="said bad" role="alert"><b>✗ The server did not accept this token.</b> It may have expired, or be meant for another audience.</p>
          : <p class="said">This server shows logs only to those who may read them in the cluster. It asks the cluster who you are, so it needs a Kubernetes token.</p>}
        <label for="token">Token</label>
        <input id="token" ref={field} type="password" autocomplete="off" spellcheck={false} required autofocus />
        <button class="main" type="submit">Sign in</button>
        <p class="how">A ServiceAccount's token, good for an hour:</p>
        <pre>kubectl create token NAME --audience=rollcast</pre>
        <p class="how">It stays in this tab until you close it or sign out. What you see is what its owner may read (<code>get pods/log</code>).</p>
      </form>
    </main>
  );
}
