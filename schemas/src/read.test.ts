import { describe, expect, it } from 'vitest';
import { LIMITS } from './limits.ts';
import { readEvent } from './read.ts';

const event = (pad: number): Buffer => Buffer.from(
  `{"event_id":"e","time":"2026-11-22T14:33:07Z","kind":"tool_call","agent":{"id":"é"},"tool":{"name":"t"},"action":"read","outcome":{"status":"success"},"attributes":{"pad":"${'x'.repeat(pad)}"}}`,
);

describe('readEvent', () => {
  const bare = event(0).length;

  it('takes an event of exactly the limit, and not one byte more', () => {
    expect(readEvent(event(LIMITS.eventBytes - bare))).toMatchObject({ ok: true, event: { agent: { id: 'é' } } });
    expect(readEvent(event(LIMITS.eventBytes - bare + 1))).toMatchObject({ ok: false, errors: [{ path: '', code: 'too_big' }] });
  });

  it('reads a range of a plain Uint8Array', () => {
    const body = new Uint8Array(Buffer.concat([Buffer.from('[ '), event(3), Buffer.from(' ]')]));
    expect(readEvent(body, 2, 2 + bare + 3)).toMatchObject({ ok: true, event: { attributes: { pad: 'xxx' } } });
  });

  it('takes other limits', () => {
    expect(readEvent(event(0), 0, bare, { eventBytes: 10, nesting: 64 })).toMatchObject({ errors: [{ code: 'too_big' }] });
    expect(readEvent(event(0), 0, bare, { eventBytes: 1000, nesting: 1 })).toMatchObject({ errors: [{ code: 'too_deep' }], scan: { line: 1 } });
  });

  it('hands over the value of a refused event, so that its id can be named', () => {
    expect(readEvent(Buffer.from('{"event_id":"e-9"}'))).toMatchObject({ ok: false, value: { event_id: 'e-9' } });
  });
});
