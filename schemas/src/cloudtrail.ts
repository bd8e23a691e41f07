/**
 * AWS CloudTrail records as `data_access` events.
 *
 * Nothing is lost: `attributes.cloudtrail` is the record itself but for `requestParameters` and
 * `responseElements`, which are `tool.arguments` and `tool.result` unchanged. All other fields of the event
 * are derived, so the record can be rebuilt from the event. The mapping is a pure function; the same record
 * gives the same text, and importing twice adds nothing.
 */
import { actionOf, oneLine, outcomeOf } from './cloudtrail-action.ts';
import { resourcesOf } from './cloudtrail-resources.ts';
import type { FieldError } from './errors.ts';
import type { Agent, AuditEvent, DelegationLink, Network } from './event.ts';
import { LENGTHS } from './limits.ts';
import { validateEvent, type ValidationResult } from './validate.ts';

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const object = (value: unknown): Json => (isObject(value) ? value : {});
const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
/** Cut to fit, in whole characters; the record keeps the text whole. */
const label = (value: string, max: number): string => oneLine(value).slice(0, max).toWellFormed();
const count = (value: unknown): number | undefined => (Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined);

/**
 * Who acted. The ARN where there is one (for an assumed role that of the session); for a call that a service
 * makes of its own, the service; else the principal id, and last `type:account`.
 */
function agentOf(identity: Json, issuer: Json, eventSource: string): Agent {
  const type = text(identity['type']);
  const id =
    text(identity['arn']) ??
    (type === undefined || type === 'AWSService' ? text(identity['invokedBy']) : undefined) ??
    text(identity['principalId']) ??
    text(identity['credentialId']) ??
    text(identity['invokedBy']) ??
    `${type ?? 'Unknown'}:${text(identity['accountId']) ?? eventSource}`;
  const name = text(identity['userName']) ?? text(issuer['userName']);
  return { id: label(id, LENGTHS.agentId), ...(name === undefined ? {} : { name: label(name, LENGTHS.name) }) };
}

/** On whose behalf, root first: source identity, federated identity, the role or user that gave the session, the service between. */
function chainOf(identity: Json, session: Json, issuer: Json, agentId: string): DelegationLink[] {
  const links: DelegationLink[] = [];
  const add = (type: DelegationLink['type'], raw: string | undefined): void => {
    if (raw === undefined) return;
    const id = label(raw, LENGTHS.principalId);
    if (id !== agentId && !links.some((link) => link.id === id)) links.push({ type, id });
  };
  add('user', text(session['sourceIdentity']));
  const federation = object(session['webIdFederationData']);
  add('service', text(federation['federatedProvider']));
  const onBehalf = object(identity['onBehalfOf']);
  add('user', text(onBehalf['userId']));
  const issuerType = text(issuer['type']);
  add(issuerType === 'IAMUser' || issuerType === 'Root' ? 'user' : 'service', text(issuer['arn']) ?? text(issuer['principalId']));
  add('service', text(identity['invokedBy']));
  return links;
}

function networkOf(record: Json, eventSource: string): Network {
  const tls = object(record['tlsDetails']);
  const extra = object(record['additionalEventData']);
  // CloudTrail counts from the service's side: what the service took in, the caller sent out.
  const out = count(extra['bytesTransferredIn']);
  const back = count(extra['bytesTransferredOut']);
  return {
    destination_host: label(text(tls['clientProvidedHostHeader']) ?? eventSource, LENGTHS.host),
    ...(text(tls['tlsVersion']) === undefined ? {} : { protocol: 'https' }),
    ...(out === undefined ? {} : { bytes_out: out }),
    ...(back === undefined ? {} : { bytes_in: back }),
  };
}

function readOnlyOf(record: Json): boolean | undefined {
  const value = record['readOnly'];
  return value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined;
}

const NEEDED = ['eventID', 'eventTime', 'eventName', 'eventSource'] as const;

/**
 * Maps one CloudTrail record. Errors with a path such as `/eventID` are about the record; the result is
 * validated like any event, and should that fail the paths are those of the event.
 */
export function cloudTrailToEvent(record: unknown): ValidationResult {
  if (!isObject(record)) {
    return { ok: false, errors: [{ path: '', code: 'wrong_type', message: 'a CloudTrail record must be a JSON object' }] };
  }
  const missing = NEEDED.filter((name) => text(record[name]) === undefined);
  if (missing.length > 0) {
    return {
      ok: false,
      errors: missing.map((name): FieldError => ({ path: `/${name}`, code: 'required', message: `a CloudTrail record needs the string \`${name}\`` })),
    };
  }
  const [eventId, eventTime, eventName, eventSource] = NEEDED.map((name) => record[name] as string) as [string, string, string, string];
  const identity = object(record['userIdentity']);
  const session = object(identity['sessionContext']);
  const issuer = object(session['sessionIssuer']);
  const region = text(record['awsRegion']) ?? 'unknown';
  const account = text(record['recipientAccountId']) ?? text(identity['accountId']) ?? 'unknown';
  const requestId = text(record['requestID']);
  const sourceIp = text(record['sourceIPAddress']);
  const agent = agentOf(identity, issuer, eventSource);
  const chain = chainOf(identity, session, issuer, agent.id);
  const { requestParameters, responseElements, ...rest } = record;

  const event: AuditEvent = {
    event_id: eventId,
    time: eventTime,
    kind: 'data_access',
    agent,
    ...(chain.length === 0 ? {} : { on_behalf_of: chain }),
    tool: {
      name: label(eventName, LENGTHS.toolName),
      server: label(eventSource, LENGTHS.toolServer),
      ...(requestId === undefined ? {} : { call_id: label(requestId, LENGTHS.callId) }),
      ...(requestParameters === undefined ? {} : { arguments: requestParameters }),
      ...(responseElements === undefined ? {} : { result: responseElements }),
    },
    resources: resourcesOf(record['resources'], requestParameters, {
      partition: /^arn:(aws[a-z-]*):/.exec(text(identity['arn']) ?? '')?.[1] ?? 'aws',
      region,
      account,
      service: eventSource.split('.', 1)[0] as string,
    }),
    action: actionOf(eventName, readOnlyOf(record)),
    outcome: outcomeOf({ errorCode: text(record['errorCode']), errorMessage: text(record['errorMessage']), responseElements }),
    network: networkOf(record, eventSource),
    source: { emitter: label(`cloudtrail:${account}:${region}`, LENGTHS.emitter), vantage: 'resource' },
    attributes: { ...(sourceIp === undefined ? {} : { source_ip: sourceIp }), cloudtrail: rest },
  };
  return validateEvent(event, { mayHoldLoneSurrogates: true });
}
