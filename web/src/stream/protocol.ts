// What page and worker say to each other.

import type { Batch } from '../log/batch';
import type { Change } from './decode';
import type { Link } from './link';

export type ToWorker =
  | { type: 'start'; url: string; kind: string; token: string | null }
  | { type: 'sleep' }
  | { type: 'wake' }
  | { type: 'ack' };

export type ToPage =
  | { type: 'link'; link: Link }
  /** `arrived` is the worker's clock when the batch was closed, in ms since 1970. */
  | { type: 'batch'; batch: Batch; changes: Change[]; dropped: number; arrived: number };
