import type { Scene } from './scene.ts';

/**
 * Where a service's ClickHouse is: `embedded`, as `npm start` has it; or `behind-proxy`, an engine of the test's own
 * with a network in between that can be cut.
 */
export type House = 'embedded' | 'behind-proxy';

/** Something that breaks. */
export interface Fault {
  readonly kind: string;
  /** Where it can happen. */
  readonly houses: readonly House[];
  /** A module that must have been loaded into the service for it. */
  readonly preload?: URL;
  /**
   * Called with the data folder before the first service starts in it.
   *
   * @returns what undoes it, called when nothing runs any more
   */
  prepare?(dataDir: string): Promise<() => Promise<void>>;
  /**
   * Breaks it, under load, and resolves when it is no longer broken. Whether recording goes on by itself afterwards is
   * for the caller to see.
   *
   * @throws Error that says what should not have happened
   */
  inject(scene: Scene): Promise<void>;
}

export const EVERYWHERE: readonly House[] = ['embedded', 'behind-proxy'];
