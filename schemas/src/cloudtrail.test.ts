import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { actionOf, outcomeOf } from './cloudtrail-action.ts';
import { resourcesOf } from './cloudtrail-resources.ts';
import { cloudTrailToEvent } from './cloudtrail.ts';
import type { AuditEvent } from './event.ts';

const lines = readFileSync(new URL('../fixtures/cloudtrail/records.ndjson', import.meta.url), 'utf8').trim().split('\n');
type Json = Record<string, unknown>;
const record = (name: string): Json => {
  const found = lines.map((line) => JSON.parse(line) as Json).find((one) => one['eventName'] === name);
  if (!found) throw new Error(name);
  return found;
};
function map(value: unknown): AuditEvent {
  const result = cloudTrailToEvent(value);
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.event;
}
const place = { partition: 'aws', region: 'us-east-1', account: '111122223333', service: 's3' };
const uris = (parameters: unknown, service = 's3'): string[] => resourcesOf(undefined, parameters, { ...place, service }).map(({ uri }) => uri);

describe('cloudTrailToEvent', () => {
  it.each(lines)('loses nothing: %.60s', (line) => {
    const original = JSON.parse(line) as Json;
    const event = map(JSON.parse(line));
    const rebuilt = {
      ...(event.attributes?.['cloudtrail'] as Json),
      ...(event.tool && 'arguments' in event.tool ? { requestParameters: event.tool.arguments } : {}),
      ...(event.tool && 'result' in event.tool ? { responseElements: event.tool.result } : {}),
    };
    expect(rebuilt).toEqual(original);
  });

  it.each(lines)('says the same twice: %.60s', (line) => expect(JSON.stringify(map(JSON.parse(line)))).toBe(JSON.stringify(map(JSON.parse(line)))));

  it('maps a call by an assumed role, denied', () => {
    const event = map(record('GetPasswordData'));
    expect(event).toMatchObject({
      kind: 'data_access',
      agent: { id: expect.stringMatching(/^arn:aws:sts::123837392027:assumed-role\//), name: 'stratus-red-team-ec2-get-password-data-role' },
      on_behalf_of: [{ type: 'service', id: 'arn:aws:iam::123837392027:role/stratus-red-team-ec2-get-password-data-role' }],
      tool: { name: 'GetPasswordData', server: 'ec2.amazonaws.com' },
      action: 'read',
      outcome: { status: 'denied', code: 'Client.UnauthorizedOperation' },
      source: { emitter: 'cloudtrail:123837392027:us-east-1', vantage: 'resource' },
    });
    expect(event.source).not.toHaveProperty('sequence');
  });

  it('maps a call that a service made of its own', () => {
    const service = lines.map((line) => JSON.parse(line) as Json).find((one) => (one['userIdentity'] as Json)['type'] === 'AWSService');
    const event = map(service);
    expect(event.agent.id).toBe('inspector2.amazonaws.com');
    expect(event.on_behalf_of).toBeUndefined();
  });

  it('keeps the source address apart from the destination', () => {
    const original = record('SendCommand');
    const event = map(original);
    expect(event.attributes?.['source_ip']).toBe(original['sourceIPAddress']);
    expect(event.network).toMatchObject({ destination_host: 'ssm.us-east-1.amazonaws.com', protocol: 'https' });
    expect(event.resources?.map(({ uri }) => uri)).toContain('arn:aws:ec2:us-east-1:123837392027:instance/i-0dbc91f429e48eeed');
  });

  it('builds the chain root first', () => {
    const original = record('GetPasswordData');
    const identity = original['userIdentity'] as Json;
    const sessionContext = { ...(identity['sessionContext'] as Json), sourceIdentity: 'alice', webIdFederationData: { federatedProvider: 'cognito' } };
    const event = map({ ...original, userIdentity: { ...identity, sessionContext, invokedBy: 'athena.amazonaws.com' } });
    expect(event.on_behalf_of?.map(({ type, id }) => [type, id.split('/').at(-1)])).toEqual([
      ['user', 'alice'], ['service', 'cognito'], ['service', 'stratus-red-team-ec2-get-password-data-role'], ['service', 'athena.amazonaws.com'],
    ]);
  });

  it.each([
    [{ type: 'IAMUser', principalId: 'AIDA1', userName: 'bo', accountId: '1' }, 'AIDA1'],
    [{ type: 'AWSAccount', accountId: '42' }, 'AWSAccount:42'],
    [{ accountId: '42', invokedBy: 'health.amazonaws.com' }, 'health.amazonaws.com'],
    [undefined, 'Unknown:s3.amazonaws.com'],
  ])('names a principal without ARN: %j', (userIdentity, id) => {
    expect(map({ ...record('GetBucketPublicAccessBlock'), userIdentity }).agent.id).toBe(id);
  });

  it('says what a record lacks', () => {
    expect(cloudTrailToEvent([])).toMatchObject({ ok: false, errors: [{ path: '', code: 'wrong_type' }] });
    expect(cloudTrailToEvent({ eventID: 'x', eventTime: 1 })).toMatchObject({
      ok: false, errors: [{ path: '/eventTime', code: 'required' }, { path: '/eventName' }, { path: '/eventSource' }],
    });
    expect(cloudTrailToEvent({ ...record('SendCommand'), eventTime: 'Jul 10' })).toMatchObject({ ok: false, errors: [{ path: '/time', code: 'invalid_time' }] });
  });

  it('maps whatever the optional members hold', () => {
    const base = record('SendCommand');
    const optional = Object.keys(base).filter((key) => !['eventID', 'eventTime', 'eventName', 'eventSource'].includes(key));
    fc.assert(fc.property(fc.dictionary(fc.constantFrom(...optional), fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' })), (odd) => {
      const result = cloudTrailToEvent({ ...base, ...odd });
      return result.ok;
    }));
    const long = { ...base, errorCode: `\ud800${'x'.repeat(300)}`, errorMessage: `${'x'.repeat(16_383)}😀`, sourceIPAddress: '\udc00', userIdentity: { arn: '😀'.repeat(600) } };
    expect(map(long).outcome.message).toHaveLength(16_384);
  });
});

describe('actionOf', () => {
  it.each([
    ['GetObject', 'read'], ['DescribeInstances', 'read'], ['ListUsers', 'list'], ['CreateUser', 'create'], ['RunInstances', 'create'], ['PutObject', 'write'],
    ['DeleteTrail', 'delete'], ['TerminateInstances', 'delete'], ['UpdateTrail', 'update'], ['ModifyImageAttribute', 'update'], ['ConsoleLogin', 'login'],
    ['AttachUserPolicy', 'grant'], ['PutBucketPolicy', 'grant'], ['AddPermission20150331v2', 'grant'], ['AuthorizeSecurityGroupIngress', 'grant'],
    ['PutLifecyclePolicy', 'write'], ['DetachRolePolicy', 'update'], ['AttachVolume', 'update'], ['Select', 'query'], ['Query', 'query'], ['BatchGetItem', 'read'],
    ['Invoke20150331', 'invoke'], ['InvokeModel', 'invoke'], ['Publish', 'send'], ['SendMessage', 'send'], ['SendCommand', 'execute'], ['toString', 'other'],
  ])('%s is %s', (name, action) => expect(actionOf(name, undefined)).toBe(action));
  it('falls back on readOnly', () => expect([actionOf('Frobnicate', true), actionOf('Frobnicate', false)]).toEqual(['read', 'other']));
});

describe('outcomeOf', () => {
  const none = { errorCode: undefined, errorMessage: undefined, responseElements: null };
  it.each([
    [none, 'success'], [{ ...none, errorCode: 'AccessDeniedException' }, 'denied'], [{ ...none, errorCode: 'Client.UnauthorizedOperation' }, 'denied'],
    [{ ...none, errorCode: 'NoSuchBucket' }, 'failure'], [{ ...none, errorCode: 'RequestTimeout' }, 'timeout'], [{ ...none, errorMessage: 'Failed authentication' }, 'failure'],
    [{ ...none, responseElements: { ConsoleLogin: 'Failure' } }, 'failure'], [{ ...none, responseElements: { ConsoleLogin: 'Success' } }, 'success'],
  ])('%j is %s', (call, status) => expect(outcomeOf(call).status).toBe(status));
});

describe('resourcesOf', () => {
  it('reads what parameters name', () => {
    expect(uris({ bucketName: 'b', key: 'a/b.txt' })).toEqual(['arn:aws:s3:::b/a/b.txt']);
    expect(uris({ roleName: 'r', policyArn: 'arn:aws:iam::aws:policy/P' }, 'iam')).toEqual(['arn:aws:iam::111122223333:role/r', 'arn:aws:iam::aws:policy/P']);
    expect(uris({ instancesSet: { items: [{ instanceId: 'i-0dbc91f429e48eeed' }] } }, 'ec2')).toEqual(['arn:aws:ec2:us-east-1:111122223333:instance/i-0dbc91f429e48eeed']);
    expect(uris({ names: ['/prod/db', 'x'] }, 'ssm')).toEqual(['arn:aws:ssm:us-east-1:111122223333:parameter/prod/db', 'arn:aws:ssm:us-east-1:111122223333:parameter/x']);
    expect(uris({ keyId: 'alias/k' }, 'kms')).toEqual(['arn:aws:kms:us-east-1:111122223333:alias/k']);
    expect(uris({ secretId: 'arn:aws:secretsmanager:us-east-1:1:secret:s' }, 'secretsmanager')).toEqual(['arn:aws:secretsmanager:us-east-1:1:secret:s']);
  });
  it('names the service when nothing else is named', () => expect(uris(null, 'sts')).toEqual(['aws://111122223333/us-east-1/sts']));
  it('escapes what an identifier may not hold', () => expect(uris({ bucketName: 'b', key: 'a\nb' })).toEqual(['arn:aws:s3:::b/a%0Ab']));
  it('stays within the bounds of an event', () => expect(uris({ names: Array.from({ length: 5000 }, (_, i) => `p${i}`) }, 'ssm')).toHaveLength(1000));
});
