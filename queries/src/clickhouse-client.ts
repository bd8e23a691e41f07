import { ClickHouseLogLevel, createClient, type ClickHouseClient, type ClickHouseSettings } from '@clickhouse/client';

export interface StoreOptions {
  /** ClickHouse's HTTP interface, such as http://127.0.0.1:8123 */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** Created by `migrate` where it does not exist. */
  readonly database: string;
}

export function connect(options: StoreOptions): ClickHouseClient {
  return createClient({
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
