import { ClickHouseError } from '@clickhouse/client';

/** Of ClickHouse's error codes, those that speak of the data: no repeating mends them, nor anything that an operator does. */
const DATA_CODES = new Set([
  6, // CANNOT_PARSE_TEXT
  16, // NO_SUCH_COLUMN_IN_TABLE
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  33, // CANNOT_READ_ALL_DATA
  53, // TYPE_MISMATCH
  117, // INCORRECT_DATA
  131, // TOO_LARGE_STRING_SIZE
  271, // CANNOT_DECOMPRESS
  407, // DECIMAL_OVERFLOW
]);

/** Of the others, those that speak of how the server is at the moment. */
const PASSING_CODES = new Set([
  159, // TIMEOUT_EXCEEDED
  202, // TOO_MANY_SIMULTANEOUS_QUERIES
  209, // SOCKET_TIMEOUT
  210, // NETWORK_ERROR
  236, // ABORTED
  241, // MEMORY_LIMIT_EXCEEDED
  242, // TABLE_IS_READ_ONLY
  243, // NOT_ENOUGH_SPACE
  252, // TOO_MANY_PARTS
  394, // QUERY_WAS_CANCELLED
]);

/** ClickHouse failed or was not there. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** ClickHouse's error code (its ErrorCodes.cpp), or undefined where no server answered. */
  readonly code: number | undefined;
  /** `refused`: the server said no. `unknown`: nobody knows whether the statement took effect. */
  readonly outcome: 'refused' | 'unknown';

  constructor(message: string, code: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.outcome = code === undefined ? 'unknown' : 'refused';
  }

  /** The same statement may succeed when it is repeated, if only after somebody has mended a table, a right or a disk. */
  get retryable(): boolean {
    return this.code === undefined || !DATA_CODES.has(this.code);
  }

  /** Nothing is wrong but the moment. */
  get passing(): boolean {
    return this.code === undefined || PASSING_CODES.has(this.code);
  }

  static from(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    if (error instanceof ClickHouseError) {
      return new StoreError(`ClickHouse: ${error.type ?? 'error'} (${error.code}): ${error.message}`, Number(error.code), {
        cause: error,
      });
    }
    const message = error instanceof Error ? error.message : String(error);
    return new StoreError(`ClickHouse did not answer: ${message}`, undefined, { cause: error });
  }
}
