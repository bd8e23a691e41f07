import { randomUUID } from 'node:crypto';
import { EventTape, type AuditEvent } from '@agent-audit/schemas';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { insertRows, RECEIVED_AT, startTestStore, type TestStore } from '../../../test/support/store.ts';
import { EventBlockEncoder } from './event-block.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test[Symbol.asyncDispose]());

const Row = z.record(z.string(), z.unknown());

/** All columns of the table but `raw`, of one tenant's rows in the order of recording. */
function columnsOf(tenant: string): Promise<Record<string, unknown>[]> {
  return test.store.select(
    `SELECT * EXCEPT (raw, received_at, time, segment_id), toString(time) AS time, toString(received_at) AS received_at
     FROM events WHERE tenant = {tenant: String} ORDER BY log_index`,
    { tenant },
    Row,
  );
}

const FULL: AuditEvent = {
  event_id: '01JD9Z6Q6W8H3T9V5X2B7N4M1K',
  time: '2026-03-01T13:33:07.123456789+02:00',
  kind: 'data_access',
  agent: { id: 'agent:billing', name: 'Billing helper', version: '1.4.2', instance_id: 'pod-7', parent_agent_id: 'agent:desk', model: { provider: 'example', id: 'model-1' } },
  session_id: 'conv-81',
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  span_id: '00f067aa0ba902b7',
  parent_span_id: '53995c3f42cd8ad8',
  on_behalf_of: [
    { type: 'user', id: 'alice@example.com', delegation_id: 'd-1', scopes: ['invoices:read'] },
    { type: 'service', id: 'desk' },
    { type: 'agent', id: 'agent:desk', delegation_id: 'd-2', parent_delegation_id: 'd-1' },
  ],
  tool: { name: 'search_invoices', server: 'mcp://billing', call_id: 'call_19', definition_hash: 'sha256:9f86d081', arguments: { customer: 'C-1009' }, result: [{ id: 'INV-7' }] },
  resources: [
    { uri: 'postgres://db.internal/billing/invoices', type: 'table', name: 'invoices', classifications: ['pii', 'finance'], records: 3, bytes: Number.MAX_SAFE_INTEGER },
    { uri: 's3://bucket/a', type: 'object' },
    { uri: 's3://bucket/b', type: 'object', classifications: ['finance', 'secret', 'pii'], bytes: 0 },
  ],
  action: 'login',
  outcome: { status: 'timeout', code: '504', message: 'the upstream did not answer' },
  decision: { effect: 'modify', policy_id: 'mask-iban', policy_version: '7', reason: 'IBAN masked' },
  network: { destination_host: 'db.internal', destination_ip: '2001:DB8::10', destination_port: 65_535, protocol: 'postgresql', bytes_out: 412, bytes_in: 2 ** 40 },
  duration_ms: 41.7,
  source: { emitter: 'gateway-1', sequence: Number.MAX_SAFE_INTEGER, vantage: 'resource' },
  attributes: { ticket: 'T-19', nested: { any: [1, null, true] } },
};

const FULL_COLUMNS = {
  collector_id: 'c1', log_index: '0', flags: 1,
  event_id: '01JD9Z6Q6W8H3T9V5X2B7N4M1K', time: '2026-03-01 11:33:07.123456789', received_at: '2026-03-01 12:00:00.000007',
  kind: 'data_access', action: 'login',
  agent_id: 'agent:billing', agent_name: 'Billing helper', agent_version: '1.4.2', agent_instance_id: 'pod-7', parent_agent_id: 'agent:desk',
  model_provider: 'example', model_id: 'model-1',
  session_id: 'conv-81', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7', parent_span_id: '53995c3f42cd8ad8',
  principal_types: ['user', 'service', 'agent'], principal_ids: ['alice@example.com', 'desk', 'agent:desk'],
  delegation_ids: ['d-1', '', 'd-2'], parent_delegation_ids: ['', '', 'd-1'],
  tool_name: 'search_invoices', tool_server: 'mcp://billing', tool_call_id: 'call_19', tool_definition_hash: 'sha256:9f86d081',
  resource_uris: ['postgres://db.internal/billing/invoices', 's3://bucket/a', 's3://bucket/b'], resource_types: ['table', 'object', 'object'],
  resource_records: ['3', '0', '0'], resource_bytes: ['9007199254740991', '0', '0'], classifications: ['pii', 'finance', 'secret'],
  outcome_status: 'timeout', outcome_code: '504', outcome_message: 'the upstream did not answer',
  decision_effect: 'modify', decision_policy_id: 'mask-iban', decision_policy_version: '7',
  destination_host: 'db.internal', destination_ip: '2001:DB8::10', destination_port: 65_535, protocol: 'postgresql', bytes_out: '412', bytes_in: '1099511627776',
  duration_ms: 41.7, emitter: 'gateway-1', has_sequence: true, sequence: '9007199254740991', vantage: 'resource',
};

const MINIMAL: AuditEvent = {
  event_id: 'e', time: '1900-01-01T00:00:00Z', kind: 'tool_call', agent: { id: 'a' }, tool: { name: 't' }, action: 'invoke', outcome: { status: 'success' },
};

const MINIMAL_COLUMNS = {
  collector_id: 'c1', log_index: '1', flags: 1,
  event_id: 'e', time: '1900-01-01 00:00:00.000000000', received_at: '2026-03-01 12:00:00.000007', kind: 'tool_call', action: 'invoke',
  agent_id: 'a', agent_name: '', agent_version: '', agent_instance_id: '', parent_agent_id: '', model_provider: '', model_id: '',
  session_id: '', trace_id: '', span_id: '', parent_span_id: '',
  principal_types: [], principal_ids: [], delegation_ids: [], parent_delegation_ids: [],
  tool_name: 't', tool_server: '', tool_call_id: '', tool_definition_hash: '',
  resource_uris: [], resource_types: [], resource_records: [], resource_bytes: [], classifications: [],
  outcome_status: 'success', outcome_code: '', outcome_message: '', decision_effect: '', decision_policy_id: '', decision_policy_version: '',
  destination_host: '', destination_ip: '', destination_port: 0, protocol: '', bytes_out: '0', bytes_in: '0',
  duration_ms: null, emitter: '', has_sequence: false, sequence: '0', vantage: '',
};

/** As the header writes it: its length as LEB128, then itself. */
function text(value: string): string {
  return `${value.length < 128 ? String.fromCharCode(value.length) : String.fromCharCode((value.length % 128) + 128, value.length >> 7)}${value}`;
}

/** JSON's long way to write ASCII. */
function escapes(value: string): string {
  return Array.from(value, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
}

/** 2026-03-01T12:00:00.000007Z */
const receivedAtMicros = RECEIVED_AT + 7;

describe('the encoder', () => {
  it('fills every column of the table that can be inserted, and knows their types', async () => {
    const columns = await test.store.select(
      `SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'events' AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position`,
      {},
      z.object({ name: z.string(), type: z.string() }),
    );
    // The block names the types; with no rows in it, the types are all that it is.
    const header = Buffer.concat(new EventBlockEncoder().finish()).toString('latin1');
    expect(new EventBlockEncoder().columnNames.toSorted()).toEqual(columns.map(({ name }) => name).toSorted());
    for (const { name, type } of columns) {
      expect(header, name).toContain(text(name) + text(type));
    }
  });

  it('puts every field of an event into its column', async () => {
    await insertRows(test.store, [
      { event: FULL, tenant: 'plain', receivedAtMicros },
      { event: MINIMAL, tenant: 'plain', logIndex: 1, receivedAtMicros },
    ]);
    expect(await columnsOf('plain')).toEqual([{ tenant: 'plain', ...FULL_COLUMNS }, { tenant: 'plain', ...MINIMAL_COLUMNS }]);
  });

  it('fills the same columns from an event that is written with escapes', async () => {
    const escaped = JSON.stringify(FULL).replaceAll(
      /"(alice@example\.com|search_invoices|Billing helper|pii|agent:billing|gateway-1|data_access|login|table)"/g,
      (_, value: string) => `"${escapes(value)}"`,
    );
    expect(escaped).not.toContain('search_invoices');
    await insertRows(test.store, [{ event: escaped, tenant: 'escaped', receivedAtMicros }]);
    expect(await columnsOf('escaped')).toEqual([{ tenant: 'escaped', ...FULL_COLUMNS }]);
    const [row] = await test.store.select("SELECT raw FROM events WHERE tenant = 'escaped'", {}, Row);
    expect(row?.['raw']).toBe(escaped);
  });

  it('takes letters beyond ASCII, also beside plain events', async () => {
    const name = 'Účetní 🦉';
    const uri = 'file:///tmp/žluťoučký';
    const event: AuditEvent = {
      ...FULL, agent: { id: 'агент', name }, on_behalf_of: [{ type: 'user', id: 'Žofie', delegation_id: 'ď-1' }],
      resources: [{ uri, type: 'súbor', classifications: ['důvěrné', 'pii', 'důvěrné'] }], outcome: { status: 'denied', message: '拒否' },
    };
    await insertRows(test.store, [
      { event: FULL, tenant: 'beyond', receivedAtMicros },
      { event, tenant: 'beyond', logIndex: 1, receivedAtMicros },
      { event: FULL, tenant: 'beyond', logIndex: 2, receivedAtMicros },
    ]);
    const [first, second, third] = await columnsOf('beyond');
    expect(first).toEqual({ tenant: 'beyond', ...FULL_COLUMNS });
    expect(third).toEqual({ tenant: 'beyond', ...FULL_COLUMNS, log_index: '2' });
    expect(second).toEqual({
      tenant: 'beyond', ...FULL_COLUMNS, log_index: '1', agent_id: 'агент', agent_name: name, agent_version: '', agent_instance_id: '', parent_agent_id: '', model_provider: '', model_id: '',
      principal_types: ['user'], principal_ids: ['Žofie'], delegation_ids: ['ď-1'], parent_delegation_ids: [''],
      resource_uris: [uri], resource_types: ['súbor'], resource_records: ['0'], resource_bytes: ['0'], classifications: ['důvěrné', 'pii'],
      outcome_status: 'denied', outcome_code: '', outcome_message: '拒否',
    });
  });

  it.each([
    ['', -300, 0], ['late', -301, 1], ['', 60, 0], ['future', 61, 2], ['late and in conflict', -400, 5],
  ])('flags: %s (%d s from receipt)', async (_, offset, flags) => {
    const tenant = `flags${offset}`;
    const time = new Date(RECEIVED_AT / 1000 + offset * 1000).toISOString();
    await insertRows(test.store, [{ event: { ...MINIMAL, time }, tenant, receivedAtMicros, flags: flags & 4 }]);
    expect(await columnsOf(tenant)).toMatchObject([{ flags }]);
  });

  it('leaves nothing behind of rows that were discarded', async () => {
    const encoder = new EventBlockEncoder();
    const tape = new EventTape();
    tape.take(Buffer.from(JSON.stringify(FULL)));
    tape.take(Buffer.from(JSON.stringify(MINIMAL)));
    const origin = { segmentId: randomUUID(), collectorId: 'c1' };
    const row = { tenant: 'discarded', logIndex: 0, flags: 0, receivedAtMicros };
    encoder.append(tape, 0, row, origin);
    encoder.discard();
    expect(encoder.rows).toBe(0);
    encoder.append(tape, 1, { ...row, logIndex: 1 }, origin);
    expect(encoder.rows).toBe(1);
    await test.store.insertNative('events', encoder.columnNames, encoder.finish(), origin.segmentId);
    encoder.discard();
    encoder.append(tape, 0, row, origin);
    await test.store.insertNative('events', encoder.columnNames, encoder.finish(), randomUUID());
    expect(await columnsOf('discarded')).toEqual([{ tenant: 'discarded', ...FULL_COLUMNS }, { tenant: 'discarded', ...MINIMAL_COLUMNS }]);
  });
});
