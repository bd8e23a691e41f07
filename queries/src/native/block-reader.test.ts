import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { StoreError } from '../store-error.ts';
import { encodeBlock } from './block.ts';
import { BlockReader } from './block-reader.ts';
import { ArrayColumn, Float64Column, NullableColumn, StringColumn, UInt16Column, UInt64Column } from './columns.ts';

interface Row {
  readonly text: string;
  readonly list: readonly string[];
  readonly number: number;
  readonly maybe: number | undefined;
}

/** A block, and the bytes of each value of each column. */
function encode(rows: readonly Row[]): Buffer {
  const [text, list, small, maybe] = [new StringColumn(), new ArrayColumn(new StringColumn()), new UInt16Column(), new NullableColumn(new Float64Column(), 0)];
  const wide = new UInt64Column();
  for (const row of rows) {
    text.append(row.text);
    const elements = list.append(row.list.length);
    for (const element of row.list) elements.append(element);
    small.append(row.number);
    wide.append(row.number);
    maybe.append(row.maybe);
  }
  return Buffer.concat(encodeBlock({ text, list, small, maybe, wide }, rows.length));
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const rowOf = fc.record({
  text: fc.oneof(fc.string({ maxLength: 20 }), fc.constant('x'.repeat(300)), fc.constant('y'.repeat(20_000))),
  list: fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }), number: fc.nat(65_535), maybe: fc.option(fc.double({ noNaN: true }), { nil: undefined }),
});

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Row[][]> {
  const reader = new BlockReader(chunks);
  const blocks: Row[][] = [];
  for (let block = await reader.next(); block !== undefined; block = await reader.next()) {
    const columns: Record<string, Buffer[]> = {};
    for (let i = 0; i < block.columns; i++) {
      const [name, type] = [await reader.text(), await reader.text()];
      if (name === 'text') {
        const ranges = new Int32Array(2 * block.rows);
        await reader.strings(block.rows, ranges);
        columns[name] = Array.from({ length: block.rows }, (_, row) => Buffer.from(reader.bytes.subarray(ranges[2 * row], ranges[2 * row + 1])));
      } else columns[name] = await reader.values(type, block.rows);
    }
    blocks.push(Array.from({ length: block.rows }, (_, row) => {
      const of = (name: string): Buffer => columns[name]?.[row] as Buffer;
      expect(Number(of('wide').readBigUInt64LE())).toBe(of('small').readUInt16LE());
      return { text: of('text').toString(), list: strings(of('list')), number: of('small').readUInt16LE(), maybe: of('maybe').length === 0 ? undefined : of('maybe').readDoubleLE() };
    }));
  }
  return blocks;
}

/** Short strings with their lengths in front. */
function strings(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + (bytes[at] as number)) found.push(bytes.toString('utf8', at + 1, at + 1 + (bytes[at] as number)));
  return found;
}

it('reads what was written, however it arrives', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.array(rowOf, { maxLength: 6 }), { maxLength: 3 }), fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 70_000 })), async (blocks, size) => {
    expect(await readAll(inPieces(Buffer.concat(blocks.map(encode)), size))).toEqual(blocks);
  }), { numRuns: 60 });
});

it('an answer that ends too early is none', async () => {
  const whole = encode([{ text: 'x'.repeat(300), list: ['a'], number: 1, maybe: 2 }]);
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: whole.length - 1 }), async (length) => {
    await expect(readAll(inPieces(whole.subarray(0, length), 100))).rejects.toThrow(StoreError);
  }), { numRuns: 40 });
});
