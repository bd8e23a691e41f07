import { describe, expect, it } from 'vitest';
import { tenantFinder } from './kafka-tenant.ts';

const header = (value: string | Buffer | (string | Buffer)[]) => ({ 'agent-audit-tenant': value });

describe('a fixed tenant', () => {
  const find = tenantFinder('fixed:acme');

  it('is that of every message', () => {
    expect(find('any', {})).toEqual({ tenant: 'acme' });
    expect(find('other', { 'x-tenant': 'globex' })).toEqual({ tenant: 'acme' });
  });

  it('does not take what says that it is of another', () => {
    expect(find('any', header('acme'))).toEqual({ tenant: 'acme' });
    expect(find('any', header(Buffer.from('globex'))).error?.code).toBe('not_allowed');
    expect(find('any', header(['acme', 'acme'])).error?.code).toBe('not_allowed');
  });
});

describe('a tenant by header', () => {
  const find = tenantFinder('header:x-tenant');

  it('is what the header says', () => {
    expect(find('any', { 'x-tenant': Buffer.from('acme') })).toEqual({ tenant: 'acme' });
  });

  it.each<[string, Record<string, string | string[]>, string]>([
    ['no header', {}, 'required'],
    ['the header twice', { 'x-tenant': ['acme', 'globex'] }, 'not_allowed'],
    ['an empty one', { 'x-tenant': '' }, 'bad_format'],
    ['no name of a tenant', { 'x-tenant': 'a/b' }, 'bad_format'],
    ['an overlong one', { 'x-tenant': 'a'.repeat(129) }, 'bad_format'],
    ['another case of its name', { 'X-Tenant': 'acme' }, 'required'],
  ])('cannot be told from %s', (_, headers, code) => {
    const { error } = find('any', headers);
    expect(error?.code).toBe(code);
    expect(error?.message).not.toContain('a/b');
  });
});

describe('a tenant by topic', () => {
  const find = tenantFinder('topic:audit.{tenant}.events');

  it('is the part of the name', () => {
    expect(find('audit.acme.events', {})).toEqual({ tenant: 'acme' });
    expect(find('audit.a.b.events', {})).toEqual({ tenant: 'a.b' });
  });

  it.each(['audit..events', 'audit.events', 'acme', 'audit.acme.event', 'xaudit.acme.events'])('cannot be told from %s', (topic) => {
    expect(find(topic, {}).error?.code).toBe('bad_format');
  });

  it('does not take what says that it is of another', () => {
    expect(find('audit.acme.events', header('globex')).error?.code).toBe('not_allowed');
  });
});
