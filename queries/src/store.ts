import { ClickHouseError, ClickHouseLogLevel, createClient, type ClickHouseClient, type ClickHouseSettings } from '@clickhouse/client';
import { Readable } from 'node:stream';
import { z } from 'zod';

export interface StoreOptions {
  /** ClickHouse's HTTP interface, such as http://127.0.0.1:8123 */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** Created by `migrate` where it does not exist. */
  readonly database: string;
}

/** A value that ClickHouse binds to a `{name: Type}` placeholder; never spliced into SQL. */
export type Param = string | number | bigint | boolean | readonly string[];
export type Params = Readonly<Record<string, Param>>;

export interface QueryStats {
  readonly rows_read: number;
  readonly bytes_read: number;
}

/**
 * The way to ClickHouse, wherever it runs. Every statement of the project goes through here, and
 * this file is the only one that knows the client library.
 *
 * @throws StoreError on every failure, with ClickHouse's own code where the server answered
 */
export class Store {
  readonly database: string;
  readonly #client: ClickHouseClient;

  constructor(options: StoreOptions) {
    this.database = options.database;
    this.#client = createClient({
      url: options.url,
      username: options.username ?? 'default',
      password: options.password ?? '',
      database: options.database,
      application: 'agent-audit',
      // It would print statements with their parameters, which hold what an event held.
      log: { level: ClickHouseLogLevel.OFF },
      request_timeout: 120_000,
      max_open_connections: 32,
      // Long parameter lists travel in the body: a URL has a limit, a window of ids has none.
      use_multipart_params_auto: true,
      clickhouse_settings: SETTINGS,
    });
  }

  /** Runs a SELECT and checks every row against its schema. Rows are held in memory: bound them with LIMIT. */
  async select<Row>(sql: string, params: Params, row: z.ZodType<Row>, settings: ClickHouseSettings = {}): Promise<Row[]> {
    return (await this.selectWithStats(sql, params, row, settings)).rows;
  }

  /** As `select`, with what ClickHouse read to answer. */
  async selectWithStats<Row>(
    sql: string,
    params: Params,
    row: z.ZodType<Row>,
    settings: ClickHouseSettings = {},
  ): Promise<{ rows: Row[]; stats: QueryStats }> {
    return this.#guard(async () => {
      const result = await this.#client.query({
        query: sql,
        query_params: params as Record<string, unknown>,
        format: 'JSON',
        clickhouse_settings: { ...READING, ...settings },
      });
      const body = await result.json<unknown>();
      return {
        rows: body.data.map((value) => row.parse(value)),
        stats: { rows_read: body.statistics?.rows_read ?? 0, bytes_read: body.statistics?.bytes_read ?? 0 },
      };
    });
  }

  /** Streams a SELECT's raw result in the FORMAT that the statement names; memory stays flat. */
  async *stream(sql: string, params: Params = {}): AsyncGenerator<Buffer> {
    const result = await this.#guard(() => this.#client.exec({ query: sql, query_params: params as Record<string, unknown>, clickhouse_settings: READING }));
    try {
      for await (const chunk of result.stream) yield chunk as Buffer;
    } catch (error) {
      throw StoreError.from(error);
    }
  }

  /** Runs a statement that returns nothing. */
  async command(sql: string, params: Params = {}): Promise<void> {
    await this.#guard(() => this.#client.command({ query: sql, query_params: params as Record<string, unknown> }));
  }

  /**
   * Inserts one block that is already encoded (see `native/`).
   *
   * Resolves once ClickHouse has it on disk. When it rejects with `outcome: 'unknown'`, the rows may or may not be
   * stored: repeat with the same token, and ClickHouse drops what it already has.
   *
   * @param token identifies the block; a second insert with the same token into the same table is dropped
   * @param comment by which others can find the insert while it runs (`runningInserts`)
   */
  async insertNative(table: string, columns: readonly string[], block: Buffer, token: string, comment = ''): Promise<void> {
    await this.#guard(async () => {
      const { stream } = await this.#client.exec({
        query: `INSERT INTO ${table} (${columns.join(', ')}) FORMAT Native`,
        values: Readable.from([block], { objectMode: false }),
        clickhouse_settings: { insert_deduplication_token: token, wait_end_of_query: 1, log_comment: comment },
      });
      stream.resume();
      await new Promise<void>((resolve, reject) => {
        stream.once('end', resolve);
        stream.once('error', reject);
      });
    });
  }

  /** True when ClickHouse answers a query; never rejects. */
  async ping(): Promise<boolean> {
    return (await this.#client.ping({ select: true })).success;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      // A row that is not what its schema says is a fault of ours, and no repeating mends it.
      throw error instanceof z.ZodError ? error : StoreError.from(error);
    }
  }
}

/**
 * Set on every request, because servers differ in their defaults: 26.3 turned on asynchronous
 * inserts and 26.2 the deduplication of inserts.
 */
const SETTINGS: ClickHouseSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  // 64-bit integers as JSON strings: JavaScript's numbers are exact only to 2^53.
  output_format_json_quote_64bit_integers: 1,
  output_format_json_escape_forward_slashes: 0,
  date_time_output_format: 'iso',
  // One insert, one block, one part: what makes it atomic.
  max_insert_block_size: '1048576',
  min_insert_block_size_rows: '0',
  min_insert_block_size_bytes: '0',
};

const READING: ClickHouseSettings = {
  // A read cannot write, whatever its text; and ClickHouse stops it when the reader goes away.
  readonly: '2',
  // Decides while planning which granules to read; deciding while reading costs more than the short reads made here.
  use_skip_indexes_on_data_read: 0,
  // Compiled min() and max() take DateTime64 values before 1970 for the greatest of all (seen in 26.7).
  compile_aggregate_expressions: 0,
};

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
