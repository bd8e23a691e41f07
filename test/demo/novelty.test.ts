import type { AuditEvent } from '@agent-audit/schemas';
import { expect, it } from 'vitest';
import { probesOf } from './novelty.ts';

const event: AuditEvent = {
  event_id: 'e', time: '2026-11-22T14:00:00Z', kind: 'tool_call', agent: { id: 'a' }, action: 'send', outcome: { status: 'success' },
  tool: { name: 'post' },
  resources: [
    { uri: 'crm://tables/customers', type: 'table', classifications: ['pii'] },
    { uri: 'crm://tables/orders', type: 'table', classifications: ['pii'] },
    { uri: 'plain', type: 'thing' },
  ],
  network: { destination_host: 'h.example' },
};

it('asks once for each thing that could be new', () => {
  const own = ['agent_id', 'a'];
  expect(probesOf(event)).toEqual([
    { claim: 'used post', params: [own, ['tool', 'post']] },
    { claim: 'touched anything under crm://tables/', params: [own, ['resource_prefix', 'crm://tables/']] },
    { claim: 'touched anything under plain', params: [own, ['resource_prefix', 'plain']] },
    { claim: 'touched data marked pii', params: [own, ['classification', 'pii']] },
    { claim: 'spoke to h.example', params: [own, ['destination', 'h.example'], ['-outcome', 'denied']] },
  ]);
});

it('does not take a refused attempt for contact', () => {
  expect(probesOf({ ...event, outcome: { status: 'denied' } }).at(-1)).toEqual({ claim: 'tried to reach h.example', params: [['agent_id', 'a'], ['destination', 'h.example']] });
});
