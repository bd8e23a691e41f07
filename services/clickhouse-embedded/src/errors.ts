/**
 * - `data-dir-locked`: another live process works on the data directory.
 * - `node-without-ffi`: no Node with `node:ffi` was found to run the engine.
 * - `start-failed`: the engine ended or reported an error before it listened.
 * - `start-timeout`: the engine neither listened nor failed in time.
 */
export type EmbeddedClickHouseErrorCode = 'data-dir-locked' | 'node-without-ffi' | 'start-failed' | 'start-timeout';

export class EmbeddedClickHouseError extends Error {
  readonly code: EmbeddedClickHouseErrorCode;

  constructor(code: EmbeddedClickHouseErrorCode, message: string) {
    super(message);
    this.name = 'EmbeddedClickHouseError';
    this.code = code;
  }
}
