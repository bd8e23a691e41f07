import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { z } from 'zod';
import { connect, type StoreOptions } from './clickhouse-client.ts';
import { insertBlock } from './inserts/insert-block.ts';
import { InsertThread } from './inserts/insert-thread.ts';
import type { Block } from './native/index.ts';
import { StoreError } from './store-error.ts';

/** From here on, sending a block would keep others waiting: a thread does it. */
const THREAD_BYTES = 256 * 1024;

/** A value that ClickHouse binds to a `{name: Type}` placeholder; never spliced into SQL. */
export type Param = string | number | bigint | boolean | readonly string[] | readonly number[];
export type Params = Readonly<Record<string, Param>>;

export interface QueryStats {
  readonly rows_read: number;
  readonly bytes_read: number;
}

/**
 * The way to ClickHouse, wherever it runs. Every statement of the project goes through here, and
 * only this file and those that it imports know the client library.
 *
 * @throws StoreError on every failure, with ClickHouse's own code where the server answered
 */
export class Store {
  readonly database: string;
  readonly #client: ClickHouseClient;
  readonly #thread: InsertThread;

  constructor(options: StoreOptions) {
    this.database = options.database;
    this.#client = connect(options);
    this.#thread = new InsertThread(options);
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
   * Inserts one block that is already encoded (see `native/`). What it refers to must stay as it is until then.
   *
   * Resolves once ClickHouse has it on disk. When it rejects with `outcome: 'unknown'`, the rows may or may not be
   * stored: repeat with the same token, and ClickHouse drops what it already has.
   *
   * @param token identifies the block; a second insert with the same token into the same table is dropped
   * @param comment by which others can find the insert while it runs (`runningInserts`)
   */
  async insertNative(table: string, columns: readonly string[], block: Block, token: string, comment = ''): Promise<void> {
    const insert = { table, columns, block, token, comment };
    const bytes = block.reduce((sum, part) => sum + part.length, 0);
    await this.#guard(() => (bytes < THREAD_BYTES ? insertBlock(this.#client, insert) : this.#thread.insert(insert)));
  }

  /** True when ClickHouse answers a query; never rejects. */
  async ping(): Promise<boolean> {
    return (await this.#client.ping({ select: true })).success;
  }

  async close(): Promise<void> {
    await this.#thread.close();
    await this.#client.close();
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

const READING: ClickHouseSettings = {
  // A read cannot write, whatever its text; and ClickHouse stops it when the reader goes away.
  readonly: '2',
  // Decides while planning which granules to read; deciding while reading costs more than the short reads made here.
  use_skip_indexes_on_data_read: 0,
  // Compiled min() and max() take DateTime64 values before 1970 for the greatest of all (seen in 26.7).
  compile_aggregate_expressions: 0,
};
