import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, dataAccess, NOON, toolCall } from '../../../test/support/events.ts';
import { insertRows, startTestStore, type TestStore } from '../../../test/support/store.ts';
import { AGENT_VALUES_MAX, listAgents } from './list-agents.ts';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
  const copied = toolCall({ agent: { id: 'b', name: 'Old' }, time: at(NOON), tool: { name: 'search' }, network: { destination_host: 'x.example' } });
  await insertRows(test.store, [
    { event: copied },
    { event: toolCall({ agent: { id: 'b', name: 'New' }, time: at(NOON + 7n), tool: { name: 'fetch' }, on_behalf_of: [{ type: 'user', id: 'dana' }, { type: 'service', id: 'desk' }] }) },
    { event: dataAccess({ agent: { id: 'b', name: 'Older' }, time: at(NOON - 1n), resources: [{ uri: 'a', type: 'table' }, { uri: 'b', type: 'file' }] }) },
    { event: dataAccess({ agent: { id: 'a' }, time: '1900-01-01T00:00:00Z' }) },
    { event: toolCall({ agent: { id: 'secret' } }), tenant: 'other' },
  ]);
  await insertRows(test.store, [{ event: copied, collectorId: 'c2' }, ...Array.from({ length: 30 }, (_, i) => ({ event: toolCall({ agent: { id: 'c' }, tool: { name: `tool-${i}` } }) }))]);
});
afterAll(() => test[Symbol.asyncDispose]());

const ids = async (order: 'asc' | 'desc', limit: number, after?: string): Promise<string[]> => (await listAgents(test.store, { tenant: 't', order, limit, after })).map((row) => row.agent_id);

describe('listAgents', () => {
  it('says what an agent was seen doing, each event counted once', async () => {
    const rows = await listAgents(test.store, { tenant: 't', order: 'asc', limit: 10 });
    expect(rows.map((row) => row.agent_id)).toEqual(['a', 'b', 'c']);
    expect(rows[1]).toEqual({
      agent_id: 'b', name: 'New', first_seen_ns: NOON - 1n, last_seen_ns: NOON + 7n, events: 3, tools: ['fetch', 'search'], hosts: ['x.example'], principals: ['dana', 'desk'], resource_types: ['file', 'table'],
    });
    expect(rows[0]).toMatchObject({ name: '', first_seen_ns: -2_208_988_800_000_000_000n, tools: [], resource_types: ['table'] });
    expect(rows[2]).toMatchObject({ events: 30 });
    expect(rows[2]?.tools).toHaveLength(AGENT_VALUES_MAX);
  });

  it('pages in both directions', async () => {
    expect(await ids('asc', 2)).toEqual(['a', 'b']);
    expect(await ids('asc', 2, 'b')).toEqual(['c']);
    expect(await ids('asc', 2, 'c')).toEqual([]);
    expect(await ids('desc', 2)).toEqual(['c', 'b']);
    expect(await ids('desc', 2, 'b')).toEqual(['a']);
    expect(await ids('asc', 10, "b' OR 1")).toEqual(['c']);
  });
});
