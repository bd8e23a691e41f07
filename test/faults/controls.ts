import type { Verdict } from '../support/oracle.ts';

/** A service that breaks the promise on purpose: whoever tests must notice. */
export interface Control {
  readonly name: string;
  /** Loaded into the service; patches what keeps the promise. */
  readonly preload: URL;
  /** What the oracle must tell. */
  readonly caughtAs: keyof Verdict;
  /** Kinds under which it shows soon. */
  readonly kinds: readonly string[];
}

const preload = (name: string): URL => new URL(`./preload/${name}.ts`, import.meta.url);

export const CONTROLS: readonly Control[] = [
  { name: 'ack-before-durable', preload: preload('ack-before-durable'), caughtAs: 'lost', kinds: ['kill-both'] },
  { name: 'no-reconciliation', preload: preload('no-reconciliation'), caughtAs: 'lost', kinds: ['store-forgets'] },
  { name: 'no-dedup', preload: preload('no-dedup'), caughtAs: 'forgotten', kinds: ['kill-collector'] },
  { name: 'no-replay', preload: preload('no-replay'), caughtAs: 'lost', kinds: ['kill-store-away'] },
];
