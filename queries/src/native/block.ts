import { ByteBuffer } from './byte-buffer.ts';
import type { Column } from './columns.ts';

/**
 * Puts columns together as one block of ClickHouse's Native format (protocol revision 0,
 * as HTTP and files use it): column count, row count, then name, type and data of each.
 *
 * @param out emptied first; the block is its contents until it is used again. The columns may be cleared at once
 */
export function encodeBlock(columns: Readonly<Record<string, Column>>, rows: number, out = new ByteBuffer(0)): Buffer {
  const named = Object.entries(columns);
  out.clear();
  // At once: a block is tens of megabytes, and growing would copy it several times over.
  out.reserve(named.reduce((size, [name, column]) => size + name.length + column.type.length + 40 + column.size, 20));
  out.varint(named.length);
  out.varint(rows);
  for (const [name, column] of named) {
    out.string(name);
    out.string(column.type);
    if (rows === 0) continue;
    column.writePrefix(out);
    column.writeValues(out);
  }
  return out.view();
}
