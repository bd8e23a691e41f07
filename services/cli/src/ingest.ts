import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { IngestAnswer, Rejection } from '@agent-audit/schemas';
import { AnswerError, notOurs, UnreachableError, type Client } from './client.ts';
import type { CliError } from './exit-codes.ts';
import type { SourceRecord } from './read-records.ts';
import { safe } from './terminal.ts';

const gzipped = promisify(gzip);

/** Bounds of one request: small enough to be taken at once and repeated cheaply. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_RECORDS = 2000;

export interface Batch {
  readonly records: readonly SourceRecord[];
  readonly bytes: number;
}

/** Groups records into requests. A record beyond the bound gets a request of its own. */
export async function* batches(records: AsyncIterable<SourceRecord>, maxBytes = BATCH_BYTES, maxRecords = BATCH_RECORDS): AsyncGenerator<Batch> {
  let taken: SourceRecord[] = [];
  let bytes = 0;
  for await (const record of records) {
    if (taken.length > 0 && (taken.length >= maxRecords || bytes + record.bytes.length + 1 > maxBytes)) {
      yield { records: taken, bytes };
      taken = [];
      bytes = 0;
    }
    taken.push(record);
    bytes += record.bytes.length + 1;
  }
  if (taken.length > 0) yield { records: taken, bytes };
}

export interface Tally {
  accepted: number;
  duplicates: number;
  rejected: number;
  /** The first ones, each with where its record stands. */
  readonly reasons: string[];
}

const REASONS_KEPT = 5;

export interface Sending {
  readonly client: Client;
  readonly path: string;
  /** How long to go on trying when the server is away or full, in ms, counted per request. */
  readonly retryForMs: number;
  readonly onWait: (why: string, ms: number) => void;
}

/**
 * Sends one batch until the server has answered for each of its records. Repeating is safe: what was recorded
 * before counts as a duplicate.
 *
 * @throws CliError when the server stays away or full, or refuses us rather than the records
 */
export async function send(batch: Batch, tally: Tally, sending: Sending): Promise<void> {
  let answer: IngestAnswer;
  try {
    answer = await post(batch, sending);
  } catch (error) {
    if (!(error instanceof AnswerError) || !isAboutBody(error)) throw error;
    const { records } = batch;
    const [only] = records;
    if (records.length === 1 && only !== undefined) {
      reject(tally, only.at, error.message);
      return;
    }
    // The body as a whole was refused, so none of it is recorded: halves tell which record it was.
    const half = Math.ceil(records.length / 2);
    for (const part of [records.slice(0, half), records.slice(half)]) await send({ records: part, bytes: 0 }, tally, sending);
    return;
  }
  tally.accepted += answer.accepted;
  tally.duplicates += answer.duplicates;
  for (const rejection of answer.rejected) reject(tally, batch.records[rejection.index]?.at ?? `record ${rejection.index}`, why(rejection));
}

function reject(tally: Tally, at: string, reason: string): void {
  tally.rejected++;
  if (tally.reasons.length < REASONS_KEPT) tally.reasons.push(`${at}: ${reason}`);
}

function why({ event_id: id, errors }: Rejection): string {
  const [first, ...others] = errors;
  const text = first === undefined ? 'rejected' : `${first.path === '' ? '' : `${safe(first.path)} `}${safe(first.message)}`;
  return `${id === undefined ? '' : `${safe(id)}: `}${text}${others.length === 0 ? '' : ` (and ${others.length} more)`}`;
}

const ABOUT_BODY = new Set(['malformed_json', 'invalid_utf8', 'too_deep', 'body_too_large']);

function isAboutBody({ status, code }: AnswerError): boolean {
  return status === 413 || (code !== undefined && ABOUT_BODY.has(code));
}

const COMMA = Buffer.from(',');
const FEED = Buffer.from('\n');
const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');

/** NDJSON; records with line breaks of their own go as an array, so that each keeps its exact bytes. */
export function bodyOf(records: readonly SourceRecord[]): { body: Buffer; type: string } {
  const broken = records.some(({ bytes }) => bytes.includes(0x0a) || bytes.includes(0x0d));
  const between = broken ? COMMA : FEED;
  const parts = records.flatMap(({ bytes }, i) => (i === 0 ? [bytes] : [between, bytes]));
  return broken
    ? { body: Buffer.concat([OPEN, ...parts, CLOSE]), type: 'application/json' }
    : { body: Buffer.concat([...parts, FEED]), type: 'application/x-ndjson' };
}

async function post({ records }: Batch, { client, path, retryForMs, onWait }: Sending): Promise<IngestAnswer> {
  const { body, type } = bodyOf(records);
  const packed = await gzipped(body, { level: 1 });
  const headers = { 'content-type': type, 'content-encoding': 'gzip' };
  let waited = 0;
  for (let attempt = 0; ; attempt++) {
    try {
      return read((await client.ask(path, { method: 'POST', body: packed, headers })).toString('utf8'), client.url);
    } catch (error) {
      if (error instanceof AnswerError && error.status === 422) return read(error.body, client.url);
      if (!isPassing(error)) throw error;
      const ms = waitMs(attempt, error instanceof AnswerError ? error.retryAfter : undefined, Math.random());
      if (waited + ms > retryForMs) throw error;
      onWait(error.message, ms);
      await sleep(ms);
      waited += ms;
    }
  }
}

/** Whether the same request may succeed later. */
function isPassing(error: unknown): error is CliError {
  return error instanceof UnreachableError || (error instanceof AnswerError && [429, 502, 503, 504].includes(error.status));
}

const FIRST_WAIT_MS = 250;
const WAIT_MAX_MS = 10_000;

/** Doubling with jitter (so that many senders do not come back at once), never sooner than the server asks. */
export function waitMs(attempt: number, retryAfterSeconds: number | undefined, random: number): number {
  const backoff = Math.min(WAIT_MAX_MS, FIRST_WAIT_MS * 2 ** attempt) * (0.5 + random / 2);
  return Math.max(backoff, (retryAfterSeconds ?? 0) * 1000);
}

/** Counts that are wrong would pass as recorded, so they are checked; the reasons are only shown. */
function read(text: string, url: string): IngestAnswer {
  let answer: Partial<IngestAnswer> | null;
  try {
    answer = JSON.parse(text) as Partial<IngestAnswer> | null;
  } catch (error) {
    throw notOurs(url, error);
  }
  if (!Number.isSafeInteger(answer?.accepted) || !Number.isSafeInteger(answer?.duplicates) || !Array.isArray(answer?.rejected)) throw notOurs(url);
  return answer as IngestAnswer;
}
