/** Shapes of what the API answers and takes, apart from the event itself. */
import { z } from 'zod';
import { ACTIONS, Agent, AuditEvent, EventTime, KINDS, OUTCOMES, Source } from './event.ts';
import { FIELD_ERROR_CODES, type FieldErrorCode } from './errors.ts';

const count = (description: string) => z.int().min(0).meta({ description });
const utc = (description: string) => z.string().meta({ description: `${description} RFC 3339, UTC.`, format: 'date-time' });
const cursor = z.string().nullable().meta({ description: 'Give it as `cursor` to read on; null on the last page.' });

export const SCOPES = ['events:write', 'events:read', 'exports', 'rules', 'admin'] as const;
export const Scope = z.enum(SCOPES).meta({ id: 'Scope', description: 'What a key may do. `admin` manages keys and replays quarantine; it does not imply the others.' });
export type Scope = z.infer<typeof Scope>;

export const FieldErrorShape = z.object({
  path: z.string().meta({ description: 'JSON Pointer (RFC 6901) into the event; empty for the event itself.' }),
  code: z.enum(Object.keys(FIELD_ERROR_CODES) as [FieldErrorCode, ...FieldErrorCode[]])
    .meta({ description: Object.entries(FIELD_ERROR_CODES).map(([code, text]) => `\`${code}\`: ${text}`).join('\n') }),
  message: z.string().meta({ description: 'What was wrong and what to do, for people.' }),
}).meta({ id: 'FieldError', description: 'One thing wrong with an event or a query.' });

export const Rejection = z.object({
  index: count('Position of the event in the body, from 0.'),
  event_id: z.string().meta({ description: 'Its `event_id`, where one could be read.' }).optional(),
  errors: z.array(FieldErrorShape),
}).meta({ id: 'Rejection', description: 'One event that was not accepted; it is kept in quarantine.' });
export type Rejection = z.infer<typeof Rejection>;

export const IngestAnswer = z.object({
  accepted: count('Events that are now durable, duplicates not counted.'),
  duplicates: count('Events that were recorded before with the same bytes.'),
  rejected: z.array(Rejection),
}).meta({ id: 'IngestAnswer', description: 'What became of the events of one body.' });
export type IngestAnswer = z.infer<typeof IngestAnswer>;

export const Problem = z.looseObject({
  type: z.string().meta({ description: 'URI reference of the kind of problem.', format: 'uri-reference' }),
  title: z.string().meta({ description: 'The kind of problem in a few words.' }),
  status: z.int().min(100).max(599).meta({ description: 'HTTP status code.' }),
  detail: z.string().meta({ description: 'What was wrong this time, and what to do.' }).optional(),
  instance: z.string().meta({ description: 'URI reference of this occurrence.' }).optional(),
  code: z.string().meta({ description: 'Stable code for machines, such as `malformed_json` or `unauthorized`.' }),
  line: z.int().min(1).meta({ description: 'Line of the body where it went wrong, from 1.' }).optional(),
  column: z.int().min(1).meta({ description: 'Column in bytes, from 1.' }).optional(),
  offset: count('Byte offset into the decompressed body.').optional(),
  errors: z.array(FieldErrorShape).meta({ description: 'Each thing wrong, where there are several.' }).optional(),
}).meta({ id: 'Problem', description: 'A problem in the form of RFC 9457.' });
export type Problem = z.infer<typeof Problem>;

export const RecordedEvent = AuditEvent.meta({ ...AuditEvent.meta(), id: 'AuditEvent' });

export const Recorded = z.object({
  received_at: utc('When the collector had it.'),
  collector_id: z.string().meta({ description: 'Collector that recorded it.' }),
  log_id: z.string().meta({ description: 'The log that holds it: one per tenant and collector.' }),
  log_index: z.int().min(0).meta({ description: 'Its place in that log, from 0, in the order of recording.' }),
  salt: z.string().meta({ description: 'Base64 of the 16 bytes that its leaf in the log is salted with; absent where this collector does not have the log.' }).optional(),
  redactions: z.array(z.unknown()).meta({ description: 'What was redacted before it was recorded.' }),
  flags: z.array(z.string()).meta({ description: 'Remarks, such as `conflict` or `late`.' }),
}).meta({ id: 'Recorded', description: 'What the collector says about an event, as against what the event says.' });
export type Recorded = z.infer<typeof Recorded>;

export const EventRecord = z.object({ event: RecordedEvent, recorded: Recorded })
  .meta({ id: 'EventRecord', description: 'An event as it was recorded, and what the collector says about it.' });
export type EventRecord = z.infer<typeof EventRecord>;

export const PROOF_STATES = ['verified', 'pending', 'not covered', 'broken'] as const;

export const ProofState = z.object({
  state: z.enum(PROOF_STATES).meta({ description: '`verified`: its stored bytes are those of its leaf, under a signed checkpoint. `pending`: the next checkpoint covers it. `not covered`: no log here holds it. `broken`: the log or the event was changed.' }),
  detail: z.string().meta({ description: 'Why, in words.' }),
  checkpoint_size: z.int().min(0).meta({ description: 'Entries that the last checkpoint covers.' }).optional(),
}).meta({ id: 'ProofState', description: 'What the log says of an event, as it was checked for this answer.' });
export type ProofState = z.infer<typeof ProofState>;

export const EventAnswer = EventRecord.extend({
  proof: ProofState,
  conflicts: z.array(EventRecord).meta({ description: 'Recorded under the same id with other bytes.' }),
}).meta({ id: 'EventAnswer', description: 'One event, and the state of its proof.' });

export const ErasureRequest = z.strictObject({
  event_ids: z.array(z.string().min(1).max(128)).min(1).max(1000).meta({ description: 'Events whose bytes are to go.' }),
  reason: z.string().min(1).max(1000).meta({ description: 'Why; it is signed, and kept for good.' }),
}).meta({ id: 'ErasureRequest' });
export type ErasureRequest = z.infer<typeof ErasureRequest>;

export const ErasureAnswer = z.object({
  erased: count('Recorded events that are gone now; several under one id count each.'),
  erased_before: count('Events of these ids that were gone already.'),
  not_found: z.array(z.string()).meta({ description: 'Ids under which nothing is recorded.' }),
}).meta({ id: 'ErasureAnswer' });
export type ErasureAnswer = z.infer<typeof ErasureAnswer>;

export const LogKey = z.object({
  verifier_key: z.string().meta({ description: 'The public key under the name of this log, as C2SP signed-note has it.' }),
  public_key: z.string().meta({ description: 'Base64 of the 32 bytes.' }),
  created_at: utc('When it began to sign.'),
  retires_at: utc('When it stops, or stopped, signing.').nullable(),
  endorsement: z.string().nullable().meta({ description: 'Base64 of the signature with which the key before it vouches for it.' }),
}).meta({ id: 'LogKey' });

export const LogInfo = z.object({
  log_id: z.string(),
  origin: z.string().meta({ description: 'Its name in checkpoints.' }),
  state: z.enum(['open', 'broken']),
  detail: z.string().meta({ description: 'What is broken.' }).optional(),
  size: z.int().min(0).meta({ description: 'Entries under the last checkpoint.' }),
  root: z.string().nullable().meta({ description: 'Base64 of their root.' }),
  keys: z.array(LogKey).meta({ description: 'All keys there ever were, oldest first.' }),
}).meta({ id: 'LogInfo' });
export type LogInfo = z.infer<typeof LogInfo>;

export const LogList = z.object({ logs: z.array(LogInfo) }).meta({ id: 'LogList' });
export type LogList = z.infer<typeof LogList>;

export const Consistency = z.object({
  log_id: z.string(), from: z.int().min(0), to: z.int().min(0),
  hashes: z.array(z.string()).meta({ description: 'Base64, as RFC 6962 section 2.1.2 orders them.' }),
}).meta({ id: 'Consistency', description: 'Proves that the log of `to` entries begins with that of `from`.' });
export type Consistency = z.infer<typeof Consistency>;

const range = z.tuple([z.int().min(0), z.int().min(0)]);
const ranges = (description: string) => z.array(range).meta({ description: `${description} Ranges [from, to], both ends included.` });
const STATUSES = ['complete', 'gaps', 'unknown'] as const;
export const EMITTER_STATES = ['active', 'idle', 'silent', 'stopped'] as const;

export const EmitterCompleteness = z.object({
  emitter: z.string(),
  instance_id: z.string().nullable().meta({ description: 'Instance that counts for itself: `agent.instance_id`. Null where the emitter has one counter: without such an id, and for the vantages `gateway` and `resource`.' }),
  status: z.enum(STATUSES).meta({ description: '`complete`: its numbers prove it. `gaps`: some are missing. `unknown`: a number was used twice, it said no number, or it is silent.' }),
  first: z.int().min(0).nullable().meta({ description: 'Lowest sequence number in the window; null where it has no event there, and only its heartbeats were heard.' }),
  last: z.int().min(0).nullable().meta({ description: 'Highest sequence number in the window.' }),
  seen: ranges('Numbers from `first` to `last` that are recorded, whatever time or agent they belong to.'),
  missing: ranges('Numbers that were used and are not recorded.'),
  duplicated: ranges('Numbers that events with different `event_id`s carry. Where there are very many, the blocks of 4,096 that hold some.'),
  restarted: z.boolean().meta({ description: 'An instance of the same emitter was at work in the window before this one.' }),
  state: z.enum(EMITTER_STATES).meta({ description: 'At the end of the window. `active`: it has events there. `idle`: none, but it was alive. `silent`: a heartbeat that it promised is overdue. `stopped`: its last heartbeat promised no other.' }),
  heartbeat: z.object({
    last_at: utc('Time of the last one.'),
    due_at: z.string().nullable().meta({ description: 'When the next was to have come; null: none was promised. RFC 3339, UTC.' }),
    sequence: z.int().min(0).nullable().meta({ description: 'Highest number that it said it had used.' }),
  }).nullable().meta({ description: 'What it last said of itself; null where it said nothing in the window, in the day before, or later.' }),
}).meta({ id: 'EmitterCompleteness', description: 'One emitter, or one instance of it.' });
export type EmitterCompleteness = z.infer<typeof EmitterCompleteness>;

export const Completeness = z.object({
  status: z.enum(STATUSES).meta({ description: '`complete` only where sequence numbers prove it.' }),
  emitters: z.array(EmitterCompleteness),
  unnumbered: count('Events of the window without a sequence number; of them, nothing can be proven.'),
  quarantined: count('Refused events of the tenant that were not replayed, by time of receipt; those that quarantine has dropped since count by day.'),
  late: count('Events that arrived late.'),
  conflicts: count('Events whose `event_id` was used before with other bytes.'),
  downtime: z.array(z.tuple([utc('From.'), utc('To, not included.')])).meta({ description: 'When, in the window, no collector was taking events in, to about ten seconds. Nothing is said of the time before the first that ran.' }),
  as_of: utc('When this was asked of the record.'),
}).meta({ id: 'Completeness', description: 'What is known to be missing from the window.' });
export type Completeness = z.infer<typeof Completeness>;

const HEARTBEAT_DUE_S_MAX = 7 * 86_400;

export const Heartbeat = z.strictObject({
  emitter: Source.shape.emitter,
  time: EventTime.meta({ ...EventTime.meta(), description: 'When it was alive: RFC 3339 with offset. A time after the receipt counts as the receipt.' }),
  sequence: z.int().min(0).meta({ description: 'Last sequence number that it used; absent before the first.' }).optional(),
  instance_id: Agent.shape.instance_id,
  vantage: Source.shape.vantage,
  agent_id: Agent.shape.id.meta({ ...Agent.shape.id.meta(), description: 'Agent that it speaks for, where it is one.' }).optional(),
  next_within_seconds: z.int().min(1).max(HEARTBEAT_DUE_S_MAX).meta({ description: 'The next heartbeat will come within so many seconds; absent: none is promised, as when it ends.' }).optional(),
}).meta({ id: 'Heartbeat', description: 'An emitter says that it is alive, and how far it has counted. `emitter`, `vantage` and `instance_id` as in its events.' });
export type Heartbeat = z.infer<typeof Heartbeat>;

/** In one body. */
export const HEARTBEATS_MAX = 1000;

export const HeartbeatAnswer = z.object({
  accepted: count('Heartbeats that are stored.'),
  rejected: z.array(z.object({ index: count('Position in the body, from 0.'), errors: z.array(FieldErrorShape) })),
}).meta({ id: 'HeartbeatAnswer', description: 'What became of the heartbeats of one body.' });
export type HeartbeatAnswer = z.infer<typeof HeartbeatAnswer>;

export const EventList = z.object({ events: z.array(EventRecord), next_cursor: cursor, completeness: Completeness })
  .meta({ id: 'EventList', description: 'One page of events.' });
export type EventList = z.infer<typeof EventList>;

export const AgentSummary = z.object({
  agent_id: z.string(),
  name: z.string().nullable().meta({ description: 'Last name that it gave.' }),
  first_seen: utc('Time of its first event.'),
  last_seen: utc('Time of its last event.'),
  events: count('Distinct events recorded.'),
  tools: z.array(z.string()).meta({ description: 'Tools that it called; at most 20.' }),
  hosts: z.array(z.string()).meta({ description: 'Hosts that it spoke to; at most 20.' }),
  principals: z.array(z.string()).meta({ description: 'Principals on whose behalf it acted; at most 20.' }),
  resource_types: z.array(z.string()).meta({ description: 'Types of what it touched; at most 20.' }),
}).meta({ id: 'AgentSummary' });
export type AgentSummary = z.infer<typeof AgentSummary>;

export const AgentList = z.object({ agents: z.array(AgentSummary), next_cursor: cursor }).meta({ id: 'AgentList' });
export type AgentList = z.infer<typeof AgentList>;

export const QUARANTINE_STATES = ['quarantined', 'replayed'] as const;

export const QuarantineReplay = z.object({
  at: utc('When it was recorded after all.'),
  origin: z.string().meta({ description: 'Who replayed it, such as `http:<key id>`.' }),
  event_id: z.string().meta({ description: 'Under which it is recorded.' }),
  corrected: z.boolean().meta({ description: 'Recorded from other bytes than these.' }),
}).meta({ id: 'QuarantineReplay' });
export type QuarantineReplay = z.infer<typeof QuarantineReplay>;

export const QuarantineEntry = z.object({
  id: z.string(),
  received_at: utc('When it arrived.'),
  origin: z.string().meta({ description: 'How it came in, such as `http:<key id>`.' }),
  event_id: z.string().nullable(),
  errors: z.array(FieldErrorShape).meta({ description: 'Why it was refused when it arrived.' }),
  raw_base64: z.string().meta({ description: 'Its exact bytes, in base64.' }),
  bytes: count('Their number.'),
  state: z.enum(QUARANTINE_STATES).meta({ description: '`replayed`: it is recorded now. The entry stays what it was.' }),
  replay: QuarantineReplay.nullable(),
}).meta({ id: 'QuarantineEntry', description: 'An event that was refused, with its bytes and the reasons.' });
export type QuarantineEntry = z.infer<typeof QuarantineEntry>;

export const QuarantineList = z.object({
  entries: z.array(QuarantineEntry),
  next_cursor: cursor,
  dropped: count('Entries of the days that the window touches which were never replayed and are no longer kept, because quarantine is bounded in size and age.'),
}).meta({ id: 'QuarantineList' });
export type QuarantineList = z.infer<typeof QuarantineList>;

const REPLAY_IDS_MAX = 1000;

export const ReplayIds = z.strictObject({ ids: z.array(z.uuid()).min(1).max(REPLAY_IDS_MAX) })
  .meta({ id: 'ReplayIds', description: 'Entries by id.' });
export const ReplayCorrection = z.strictObject({
  id: z.uuid(),
  event: z.record(z.string(), z.unknown()).meta({ description: 'What to record in place of the bytes of the entry, byte for byte.' }),
}).meta({ id: 'ReplayCorrection', description: 'One entry, with corrected bytes.' });
export const ReplayWindow = z.strictObject({
  from: z.string().meta({ description: 'Begin of the window of receipt, included: RFC 3339 or relative.' }),
  to: z.string().meta({ description: 'Its end, not included; default now.' }).optional(),
  code: z.enum(Object.keys(FIELD_ERROR_CODES) as [FieldErrorCode, ...FieldErrorCode[]]).meta({ description: 'Only entries with an error of this code.' }).optional(),
  limit: z.int().min(1).max(1000).meta({ description: 'Most entries in one request; default 100.' }).optional(),
  cursor: z.string().meta({ description: '`next_cursor` of the answer before.' }).optional(),
}).meta({ id: 'ReplayWindow', description: 'Entries of a window that are not replayed yet, oldest first.' });
export type ReplayWindow = z.infer<typeof ReplayWindow>;

export const ReplayRequest = z.union([ReplayIds, ReplayCorrection, ReplayWindow]).meta({ id: 'ReplayRequest' });
export type ReplayRequest = z.infer<typeof ReplayRequest>;

export const ReplayAnswer = z.object({
  replayed: count('Events that are recorded now and were not before.'),
  duplicates: count('Entries whose event was recorded before.'),
  still_rejected: z.array(z.object({ quarantine_id: z.string(), errors: z.array(FieldErrorShape) }))
    .meta({ description: 'Entries that are not valid, with the reasons as of now.' }),
  not_found: z.array(z.string()).meta({ description: 'Ids that quarantine does not hold.' }),
  next_cursor: cursor,
}).meta({ id: 'ReplayAnswer', description: 'What became of the entries.' });
export type ReplayAnswer = z.infer<typeof ReplayAnswer>;

const keyName = z.string().min(1).max(256).meta({ description: 'Name for people.' });

const perSecond = (what: string) => z.int().min(1).max(1_000_000_000).meta({ description: `Most ${what} a second, on average; five seconds' worth at once.` });

export const KeyRequest = z.strictObject({
  name: keyName,
  scopes: z.array(Scope).min(1).max(SCOPES.length),
  tenant: z.string().min(1).max(128).regex(/^[A-Za-z0-9._-]+$/)
    .meta({ description: 'Tenant that the key is for; default: that of the caller.' }).optional(),
  expires_at: utc('When it stops working; absent: never.').optional(),
  rate: z.strictObject({ events_per_second: perSecond('events').optional(), requests_per_second: perSecond('requests').optional() })
    .meta({ description: 'How fast it may be; what is absent is as the service is configured.' }).optional(),
}).meta({ id: 'KeyRequest' });
export type KeyRequest = z.infer<typeof KeyRequest>;

export const KeyInfo = z.object({
  id: z.string(),
  name: keyName,
  tenant: z.string(),
  scopes: z.array(Scope),
  created_at: utc('When it was made.'),
  expires_at: z.string().nullable().meta({ description: 'When it stops working; null: never. RFC 3339, UTC.' }),
  revoked_at: z.string().nullable().meta({ description: 'When it was revoked; null: it was not. RFC 3339, UTC.' }),
  rate: z.object({ events_per_second: perSecond('events').nullable(), requests_per_second: perSecond('requests').nullable() })
    .meta({ description: 'How fast it may be; null: as the service is configured.' }),
}).meta({ id: 'KeyInfo', description: 'A key without its secret.' });
export type KeyInfo = z.infer<typeof KeyInfo>;

export const KeyCreated = KeyInfo.extend({ secret: z.string().meta({ description: 'The key itself. Shown this once, never again.' }) })
  .meta({ id: 'KeyCreated' });
export type KeyCreated = z.infer<typeof KeyCreated>;

export const KeyList = z.object({ keys: z.array(KeyInfo) }).meta({ id: 'KeyList' });
export type KeyList = z.infer<typeof KeyList>;

/** Closed sets that filters know, by parameter. */
export const FILTER_VALUES: Readonly<Record<string, readonly string[]>> = { kind: KINDS, action: ACTIONS, outcome: OUTCOMES };
