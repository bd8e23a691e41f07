import type { ClickHouseClient } from '@clickhouse/client';
import { Readable } from 'node:stream';
import type { Block } from '../native/index.ts';

export interface Insert {
  readonly table: string;
  readonly columns: readonly string[];
  readonly block: Block;
  readonly token: string;
  /** By which it can be found while it runs. */
  readonly comment: string;
}

/** Resolves once ClickHouse has the block on disk. @throws whatever the client throws */
export async function insertBlock(client: ClickHouseClient, { table, columns, block, token, comment }: Insert): Promise<void> {
  const { stream } = await client.exec({
    query: `INSERT INTO ${table} (${columns.join(', ')}) FORMAT Native`,
    values: Readable.from(block, { objectMode: false }),
    clickhouse_settings: { insert_deduplication_token: token, wait_end_of_query: 1, log_comment: comment },
  });
  stream.resume();
  await new Promise<void>((resolve, reject) => {
    stream.once('end', resolve);
    stream.once('error', reject);
  });
}
