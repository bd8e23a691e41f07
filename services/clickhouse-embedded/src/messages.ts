import type { EmbeddedClickHouseErrorCode } from './errors.ts';

/**
 * What the supervisor tells the child over IPC. The password itself never leaves the supervisor:
 * the child, its configuration files and its argv know only the SHA-256.
 */
export type ToChild =
  | {
      type: 'start';
      dataDir: string;
      /** 0: any free port. */
      port: number;
      passwordSha256Hex: string;
      maxMemoryBytes: number;
    }
  | { type: 'stop' };

export type FromChild =
  | { type: 'listening'; port: number }
  | { type: 'failed'; code: EmbeddedClickHouseErrorCode; message: string };
