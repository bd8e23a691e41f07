import type { FieldError } from '@agent-audit/schemas';
import type { IHeaders } from '@agent-audit/shared';
import { z } from 'zod';
import type { Refused } from './segments/format.ts';

/** Marks a message that is no event but what was refused as one, on its way to quarantine; says why as JSON. */
const REFUSED_HEADER = 'agent-audit-refused';

const Why = z.object({
  origin: z.string().max(1024),
  event_id: z.string().max(128).optional(),
  errors: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })),
});

export function refusedHeaders({ origin, eventId, errors }: Refused): IHeaders {
  return { [REFUSED_HEADER]: JSON.stringify({ origin, event_id: eventId, errors: [...errors] } satisfies z.input<typeof Why>) };
}

/** What was refused before it was written to Kafka; undefined for every other message. */
export function readRefused(headers: IHeaders): Omit<Refused, 'raw'> | undefined {
  const header = headers[REFUSED_HEADER];
  if (header === undefined) return undefined;
  try {
    const { origin, event_id: eventId, errors } = Why.parse(JSON.parse(String(header)));
    return { origin, eventId, errors: errors as FieldError[] };
  } catch {
    // Somebody else's header of the same name: the message is read as any other.
    return undefined;
  }
}
