import type { Clock } from '@agent-audit/shared';
import { NoteError, parseVerifier, type NoteVerifier } from '../note.ts';
import { AnchorError, type AnchorTarget } from './anchor.ts';
import { fileTarget } from './file-target.ts';
import { parseUrl } from './http.ts';
import { s3Target } from './s3-target.ts';
import { webhookTarget } from './webhook-target.ts';
import { witnessTarget } from './witness-target.ts';

export interface AnchorSettings {
  readonly webhookSecret?: string | undefined;
  readonly s3?: {
    /** Unset: AWS. */
    readonly endpoint?: string | undefined;
    readonly region: string;
    readonly accessKeyId?: string | undefined;
    readonly secretAccessKey?: string | undefined;
  };
  readonly clock: Clock;
  /** For one request, its answer included. */
  readonly timeoutMs?: number;
}

/**
 * @param texts `file:/folder`, `https://…` for a webhook, `s3://bucket/prefix`, `witness:<verifier key>@https://…`
 * @throws AnchorError that says which of them, and never repeats it: a webhook's address may be a secret
 */
export function parseAnchorTargets(texts: readonly string[], settings: AnchorSettings): AnchorTarget[] {
  const targets = texts.map((text, i) => parseTarget(text, `anchor ${i + 1}`, settings));
  for (const [i, { name }] of targets.entries()) {
    const first = targets.findIndex((target) => target.name === name);
    if (first !== i) throw new AnchorError('anchor_setting', `anchor ${i + 1} is the same place as anchor ${first + 1}`);
  }
  return targets;
}

function parseTarget(text: string, what: string, { webhookSecret, s3, clock, timeoutMs = 30_000 }: AnchorSettings): AnchorTarget {
  const [, folder] = /^file:(?:\/\/)?(\/.*)$/.exec(text) ?? [];
  if (folder !== undefined) return fileTarget(folder);
  const [, key, submission] = /^witness:([^@]*)@(.*)$/.exec(text) ?? [];
  if (key !== undefined && submission !== undefined) return witnessTarget(parseWitness(key, what), parseUrl(submission, what), timeoutMs);
  if (text.startsWith('s3:')) {
    const [, bucket, prefix] = /^s3:\/\/([A-Za-z\d][\w.-]{1,62})(?:\/(.*?))?\/?$/.exec(text) ?? [];
    if (bucket === undefined) throw new AnchorError('anchor_setting', `${what} has to be s3://<bucket>/<prefix>`);
    if (s3?.accessKeyId === undefined || s3.secretAccessKey === undefined) throw new AnchorError('anchor_setting', `${what} is in S3, which needs an access key and its secret`);
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    return s3Target(bucket, prefix ?? '', { endpoint: parseUrl(endpoint ?? `https://s3.${region}.amazonaws.com`, 'the S3 endpoint'), region, accessKeyId, secretAccessKey }, clock, timeoutMs);
  }
  if (/^(?:insecure\+)?https?:/.test(text)) return webhookTarget(parseUrl(text, what), webhookSecret, timeoutMs);
  throw new AnchorError('anchor_setting', `${what} is none of file:/<folder>, https://<webhook>, s3://<bucket>/<prefix> and witness:<verifier key>@https://<witness>`);
}

function parseWitness(key: string, what: string): NoteVerifier {
  try {
    const witness = parseVerifier(key);
    if (witness.cosigns) return witness;
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new AnchorError('anchor_setting', `${what}: ${error.message}`, { cause: error });
  }
  throw new AnchorError('anchor_setting', `${what} has the key of a log, not of a witness (type 4, Ed25519 with a time)`);
}
