import { BlockWriter, type Block } from './block-writer.ts';
import type { Column } from './columns.ts';

/**
 * Puts columns together as one block of ClickHouse's Native format (protocol revision 0,
 * as HTTP and files use it): column count, row count, then name, type and data of each.
 *
 * @param to emptied first; holds what is not in the columns' own memory
 * @returns parts of `to` and of the columns: neither may be changed before the block has been sent
 */
export function encodeBlock(columns: Readonly<Record<string, Column>>, rows: number, to = new BlockWriter()): Block {
  const named = Object.entries(columns);
  to.clear();
  to.small.varint(named.length);
  to.small.varint(rows);
  for (const [name, column] of named) {
    to.small.string(name);
    to.small.string(column.type);
    if (rows === 0) continue;
    column.writePrefix(to.small);
    column.writeValues(to);
  }
  return to.parts();
}
