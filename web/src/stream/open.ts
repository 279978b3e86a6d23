// Starts the worker. Under `require-trusted-types-for 'script'` a worker's address must come from a
// policy; this one lets through exactly the one file that the build made.

import workerUrl from './worker?worker&url';
import type { ToPage, ToWorker } from './protocol';

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

const policies = (globalThis as { trustedTypes?: Policies }).trustedTypes;
const policy = policies?.createPolicy('rollcast', {
  createScriptURL(url) {
    if (url !== workerUrl) throw new TypeError('not a script of this page');
    return url;
  },
});

export interface Stream {
  send(message: ToWorker): void;
  close(): void;
}

export function openStream(onMessage: (message: ToPage) => void): Stream {
  const worker = new Worker(policy ? policy.createScriptURL(workerUrl) : workerUrl, { type: 'module' });
  worker.onmessage = (message: MessageEvent<ToPage>) => onMessage(message.data);
  return {
    send: (message) => worker.postMessage(message),
    close: () => worker.terminate(),
  };
}
