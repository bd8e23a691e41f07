import { createHash, createHmac } from 'node:crypto';
import type { AnchorTarget } from './anchor.ts';
import { drop, refusal, send } from './http.ts';

/** @param secret signs the body: `agent-audit-signature: sha256=<hex of HMAC-SHA256>` */
export function webhookTarget(url: URL, secret: string | undefined, timeoutMs: number): AnchorTarget {
  return {
    // Its path may be what lets one in.
    name: `${url.origin}/…#${createHash('sha256').update(url.href).digest('hex').slice(0, 8)}`,
    concurrency: 8,
    anchor: async ({ checkpoint }, _, signal) => {
      const headers: Record<string, string> = { 'content-type': 'text/plain; charset=utf-8' };
      if (secret !== undefined) headers['agent-audit-signature'] = `sha256=${createHmac('sha256', secret).update(checkpoint).digest('hex')}`;
      const response = await send(url, { method: 'POST', headers, body: checkpoint }, signal, timeoutMs);
      if (!response.ok) throw await refusal(url, response, timeoutMs);
      await drop(response);
      return [];
    },
  };
}
