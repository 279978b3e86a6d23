// The worker's door: reads the stream off the main thread, so that a flood of lines never delays
// a frame.

import type { ToWorker } from './protocol';
import { Session } from './session';

const scope = self as unknown as {
  onmessage: ((message: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
};

let session: Session | null = null;

scope.onmessage = ({ data }) => {
  switch (data.type) {
    case 'start':
      session = new Session(
        {
          fetch: (url, init) => fetch(url, init),
          post: (message, transfer) => scope.postMessage(message, transfer),
          now: () => Date.now(),
          random: () => Math.random(),
          setTimer: (run, ms) => setTimeout(run, ms) as unknown as number,
          clearTimer: (timer) => clearTimeout(timer),
        },
        data.url,
        data.kind,
        data.token,
      );
      session.start();
      break;
    case 'sleep':
      session?.sleep();
      break;
    case 'wake':
      session?.wake();
      break;
    case 'ack':
      session?.ack();
      break;
  }
};
