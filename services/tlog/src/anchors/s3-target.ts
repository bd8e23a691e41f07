import { createHash } from 'node:crypto';
import type { Clock } from '@agent-audit/shared';
import { AwsV4Signer } from 'aws4fetch';
import { AnchorError, type AnchorTarget } from './anchor.ts';
import { drop, refusal, send } from './http.ts';

export interface S3Options {
  readonly endpoint: URL;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Digits of 2^53: names are in the order of sizes. */
const SIZE_DIGITS = 16;

/**
 * Puts each checkpoint as the object `<prefix>/<origin>/<size, 16 digits>`, with path-style addresses and Signature Version 4. The same
 * checkpoint again is the same object.
 */
export function s3Target(bucket: string, prefix: string, options: S3Options, clock: Clock, timeoutMs: number): AnchorTarget {
  const { endpoint, ...signing } = options;
  const base = endpoint.href.replace(/\/+$/, '');
  return {
    name: `s3://${bucket}/${prefix} at ${endpoint.host}`,
    concurrency: 8,
    anchor: async ({ origin, size, checkpoint }, _, signal) => {
      const segments = [bucket, ...(prefix === '' ? [] : prefix.split('/')), ...origin.split('/'), String(size).padStart(SIZE_DIGITS, '0')];
      // A URL would take them for folders.
      if (segments.some((segment) => /^\.{0,2}$/.test(segment))) throw new AnchorError('anchor_setting', `the checkpoints of ${origin} cannot be kept in S3: a part of the object's name is empty, "." or ".."`);
      const signer = new AwsV4Signer({
        ...signing, service: 's3', method: 'PUT', url: `${base}/${segments.map(encodeURIComponent).join('/')}`, body: checkpoint,
        headers: {
          'content-type': 'text/plain; charset=utf-8',
          // Buckets with Object Lock want it.
          'content-md5': createHash('md5').update(checkpoint).digest('base64'),
          'x-amz-content-sha256': createHash('sha256').update(checkpoint).digest('hex'),
        },
        datetime: new Date(Number(clock.nowMicros() / 1000n)).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
      });
      const { url, headers } = await signer.sign();
      const response = await send(url, { method: 'PUT', headers, body: checkpoint }, signal, timeoutMs);
      if (!response.ok) throw await refusal(url, response, timeoutMs);
      await drop(response);
      return [];
    },
  };
}
