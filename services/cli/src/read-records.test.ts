import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readRecords } from './read-records.ts';

const dir = mkdtempSync(join(tmpdir(), 'agent-audit-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;

/** Records as `text @ place`, from a file and from standard input in small chunks. */
async function recordsOf(content: string | Buffer, wrapper: string | undefined = 'Records'): Promise<string[]> {
  const file = join(dir, `f${++files}`);
  writeFileSync(file, content);
  const bytes = Buffer.from(content);
  const chunks = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(i * 7, i * 7 + 7));
  const [fromFile, fromStdin] = [await list(readRecords(file, Readable.from([]), { wrapper })), await list(readRecords('-', Readable.from(chunks), { wrapper }))];
  expect(fromStdin.map((text) => text.replace('stdin', `f${files}`))).toEqual(fromFile);
  return fromFile.map((text) => text.replace(`f${files}`, 'f'));
}

async function list(records: ReturnType<typeof readRecords>): Promise<string[]> {
  const all: string[] = [];
  for await (const { bytes, at } of records) all.push(`${Buffer.from(bytes).toString()} @ ${at}`);
  return all;
}

describe('readRecords', () => {
  it('reads NDJSON line by line, blank lines and CRLF included', async () => {
    expect(await recordsOf('{"a":1}\r\n\n  \n{"a":9223372036854775808}\n{"a":3}')).toEqual(['{"a":1} @ f:1', '{"a":9223372036854775808} @ f:4', '{"a":3} @ f:5']);
    expect(await recordsOf('\ufeff{"a":1}\n{"a":2}\n')).toEqual(['{"a":1} @ f:1', '{"a":2} @ f:2']);
  });

  it('leaves a broken line for the server to name', async () => {
    expect(await recordsOf('{"a":1}\n{"a":\n{"a":3}\n')).toEqual(['{"a":1} @ f:1', '{"a": @ f:2', '{"a":3} @ f:3']);
  });

  it('reads log files as CloudTrail delivers them, also several at once', async () => {
    expect(await recordsOf('{"Records":[{"a":1},{"a":2}]}')).toEqual(['{"a":1} @ f record 1', '{"a":2} @ f record 2']);
    expect(await recordsOf('{"Records":[{"a":1},{"a":2}]}{"Records":[{"a":3}]}')).toHaveLength(3);
    expect(await recordsOf('{"Records":[{"a":1},{"a":2}]}\n{"Records":[{"a":3}]}\n{"Records":[]}\n')).toEqual(['{"a":1} @ f:1 record 1', '{"a":2} @ f:1 record 2', '{"a":3} @ f:2']);
  });

  it('reads arrays and indented values', async () => {
    expect(await recordsOf('[\n {"a":1},\n {"a":\n 2}\n]\n')).toEqual(['{"a":1} @ f record 1', '{"a":\n 2} @ f record 2']);
    expect(await recordsOf('{\n "a": "}{\\""\n}\n', undefined)).toEqual(['{\n "a": "}{\\""\n} @ f record 1']);
  });

  it('knows gzip by its bytes', async () => {
    expect(await recordsOf(gzipSync('{"a":1}\n{"a":2}\n'))).toEqual(['{"a":1} @ f:1', '{"a":2} @ f:2']);
  });

  it('reads nothing from an empty file', async () => {
    expect(await recordsOf('')).toEqual([]);
    expect(await recordsOf('\n\n')).toEqual([]);
  });

  it('says what is wrong with a file', async () => {
    await expect(recordsOf('{\n"a":1,\n}\n')).rejects.toThrow(/is not JSON: .* \(line 3\)/);
    await expect(recordsOf('[{"a":1}')).rejects.toThrow(/is not JSON/);
    await expect(recordsOf(gzipSync('{"a":1}\n').subarray(0, 15))).rejects.toThrow(/unexpected end of file/);
    await expect(list(readRecords(join(dir, 'none'), Readable.from([]), { wrapper: undefined }))).rejects.toThrow('none: there is no such file');
    await expect(list(readRecords(dir, Readable.from([]), { wrapper: undefined }))).rejects.toThrow(/is a folder/);
  });
});
