/**
 * Sizes that bound what is accepted. The contract's limits (event, nesting, body) are defaults that a
 * service may configure; the lengths of typed strings are part of the event schema itself.
 */
export const LIMITS = {
  /** One event as JSON text, in bytes. */
  eventBytes: 256 * 1024,
  /** Depth of objects and arrays in one event; the event object itself is level 1. */
  nesting: 64,
  /** One HTTP body after decompression, in bytes. */
  bodyBytes: 16 * 1024 * 1024,
  /** Events in one body. The least valid event has some 150 bytes, so only bodies of scraps come near it. */
  eventsPerBody: 100_000,
} as const;

/** Longest typed strings, counted in Unicode code points as JSON Schema does; longest lists in items. */
export const LENGTHS = {
  eventId: 128,
  traceId: 128,
  sessionId: 512,
  agentId: 512,
  name: 256,
  version: 128,
  principalId: 512,
  toolName: 256,
  toolServer: 512,
  callId: 256,
  hash: 256,
  uri: 8192,
  resourceType: 128,
  resourceName: 1024,
  classification: 128,
  code: 256,
  message: 16 * 1024,
  reason: 4096,
  host: 512,
  protocol: 64,
  emitter: 256,
  scope: 512,
  delegationLinks: 32,
  scopes: 256,
  resources: 1000,
  classifications: 64,
} as const;

/** Errors named for one event; a longer list helps nobody and would let a sender inflate the answer. */
export const MAX_FIELD_ERRORS = 32;
