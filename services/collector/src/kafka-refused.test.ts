import { expect, it } from 'vitest';
import { readRefused, refusedHeaders } from './kafka-refused.ts';

const errors = [{ path: '/tool', code: 'required' as const, message: 'is required' }];

it('comes back as it was refused', () => {
  for (const eventId of ['e-1', undefined]) {
    const headers = refusedHeaders({ origin: 'http:key_1', eventId, errors, raw: Buffer.from('x') });
    const asRead = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(String(value))]));
    expect(readRefused(asRead)).toEqual({ origin: 'http:key_1', eventId, errors });
  }
});

it.each(['', 'yes', '{}', '{"origin":1,"errors":[]}', '[]'])('is not what a header of the same name says: %j', (value) => {
  expect(readRefused({ 'agent-audit-refused': value })).toBeUndefined();
});

it('is no other message', () => {
  expect(readRefused({})).toBeUndefined();
});
