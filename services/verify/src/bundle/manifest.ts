import { z } from 'zod';

export const FORMAT = 'agent-audit-bundle/1';
export const MANIFEST = 'manifest.json';
export const EVENTS = 'events.ndjson';
/** Beside a log's checkpoint: the keys that its server says it signs with. Whoever verifies brings his own. */
export const KEYS = 'keys';

/** `manifest.json` of a bundle. */
export const Manifest = z.object({
  format: z.literal(FORMAT),
  created_at: z.string(),
  /** What was asked, and of whom. */
  query: z.object({ server: z.string(), path: z.string(), params: z.array(z.tuple([z.string(), z.string()])) }),
  counts: z.object({ events: z.int().min(0), proven: z.int().min(0) }),
  /** As the server said it. */
  completeness: z.unknown(),
  logs: z.array(z.object({ log_id: z.string(), folder: z.string(), size: z.int().min(0), checkpoint: z.string() })),
  /** Logs of which there are events and no proof, and why. */
  unproven: z.array(z.object({ log_id: z.string(), events: z.int().min(0), reason: z.string() })),
  /** By path below the folder. */
  files: z.record(z.string(), z.object({ bytes: z.int().min(0), sha256: z.string() })),
});
export type Manifest = z.infer<typeof Manifest>;
