import { KeyRequest, type FieldError } from '@agent-audit/schemas';
import { OPERATOR_TENANT, TENANT_HEADER, type IHeaders } from '@agent-audit/shared';

export type TenantFound = { readonly tenant: string; readonly error?: undefined } | { readonly tenant?: undefined; readonly error: FieldError };

/** Tells whose a message is by where it was read and its headers. */
export type FindTenant = (topic: string, headers: IHeaders) => TenantFound;

/** Who gets to see messages of which nobody can tell whose they are. */
export const NOBODYS_TENANT = OPERATOR_TENANT;

/** @param setting as `AGENT_AUDIT_KAFKA_TENANT` has it: `fixed:…`, `header:…` or `topic:…` */
export function tenantFinder(setting: string): FindTenant {
  const colon = setting.indexOf(':');
  const value = setting.slice(colon + 1);
  switch (setting.slice(0, colon)) {
    case 'fixed':
      return (_, headers) => unlessAnothers(headers, { tenant: value });
    case 'header':
      return (_, headers) => byHeader(headers, value);
    case 'topic': {
      const found = tenantByTopic(value);
      return (topic, headers) => unlessAnothers(headers, found(topic));
    }
    default:
      throw new RangeError('the tenant of messages is found by fixed:, header: or topic:');
  }
}

/** Most messages of a topic come in a row, and all have the same answer. */
function tenantByTopic(template: string): (topic: string) => TenantFound {
  const [before = '', after = ''] = template.split('{tenant}', 2);
  const known = new Map<string, TenantFound>();
  return (topic) => {
    let found = known.get(topic);
    if (found === undefined) {
      const fits = topic.startsWith(before) && topic.endsWith(after) && topic.length > before.length + after.length;
      found = fits ? checked(topic.slice(before.length, topic.length - after.length), 'its topic') : refusal('bad_format', `its topic is not named as ${template}`);
      known.set(topic, found);
    }
    return found;
  };
}

function byHeader(headers: IHeaders, name: string): TenantFound {
  const value = headers[name];
  if (value === undefined) return refusal('required', `the message has no header \`${name}\`, which says its tenant`);
  if (Array.isArray(value)) return refusal('not_allowed', `the message has the header \`${name}\` more than once`);
  return checked(String(value), `its header \`${name}\``);
}

/**
 * What this service wrote says whose it is. Read with a setting that gives it to another, it would show one tenant's
 * events to the other.
 */
function unlessAnothers(headers: IHeaders, found: TenantFound): TenantFound {
  const says = headers[TENANT_HEADER];
  if (says === undefined || found.error !== undefined || (!Array.isArray(says) && String(says) === found.tenant)) return found;
  return refusal('not_allowed', `its header \`${TENANT_HEADER}\` says another tenant than the configuration does`);
}

const Tenant = KeyRequest.shape.tenant.unwrap();

function checked(tenant: string, where: string): TenantFound {
  return Tenant.safeParse(tenant).success ? { tenant } : refusal('bad_format', `the tenant that ${where} names is no name of a tenant`);
}

const refusal = (code: FieldError['code'], message: string): TenantFound => ({ error: { path: '', code, message } });
