import type { Completeness } from '@agent-audit/schemas';
import { between, EVER } from './events.ts';
import type { Answer } from './http.ts';
import type { KnownTenant, Load } from './load.ts';
import { windowOf } from './load-events.ts';
import { Positions, together, type Seen, type Verdict } from './oracle.ts';
import type { Random } from './random.ts';
import type { ServiceClient } from './service.ts';
import { Tenant, type Page, type Shown } from './tenant.ts';
import { until, untilOr } from './until.ts';

/** Durable comes first, shown later: how long "later" may be on a busy machine. */
const DRAIN_MS = 60_000;
/** Ids that are asked for one by one in each check. */
const IDS_MAX = 25;
/** Events that are sent again in each check. */
const AGAIN_MAX = 50;

/** Asks again where it was told to try again. */
class PatientTenant extends Tenant {
  override get(path: string): Promise<Answer> {
    return until(() => super.get(path), (answer) => answer.status !== 503, DRAIN_MS);
  }
}

/** Asks a service for all that clients can see, and the oracle whether that is what was acknowledged. */
export class RecordCheck {
  readonly #load: Load;
  readonly #random: Random;
  /** Of all windows that were checked so far. */
  readonly #positions = new Positions();
  readonly #drainMs: number;

  /** @param drainMs how long to wait for what was acknowledged to be shown */
  constructor(load: Load, random: Random, drainMs = DRAIN_MS) {
    this.#load = load;
    this.#random = random;
    this.#drainMs = drainMs;
  }

  /**
   * Checks the load's window, which is over: the load must have been stopped and everything of it acknowledged.
   * Each window may be checked once.
   */
  async window(service: ServiceClient): Promise<Verdict> {
    const { window } = this.#load;
    return this.#check(service, between(...windowOf(window)), this.#positions, window);
  }

  /** Checks the whole record from the beginning, in case that something came to it behind the back of the checks before. */
  async everything(service: ServiceClient): Promise<Verdict> {
    const verdict = await this.#check(service, EVER, new Positions());
    const counted = await Promise.all(this.#load.tenants.map((tenant) => checkAgents(tenant, service)));
    return together([verdict, ...counted]);
  }

  async #check(service: ServiceClient, range: string, positions: Positions, window?: number): Promise<Verdict> {
    const ofTenants = await Promise.all(this.#load.tenants.map((tenant) => this.#checkTenant(tenant, service, range, positions, window)));
    return together([...ofTenants, positions.check()]);
  }

  async #checkTenant(tenant: KnownTenant, service: ServiceClient, range: string, positions: Positions, window?: number): Promise<Verdict> {
    const asked = new PatientTenant(service, tenant.name, tenant.key);
    const { shown, known } = await untilOr(
      () => this.#readWindow(asked, range),
      // What was durable and never acknowledged may be stored between two of the queries.
      ({ shown: read, known: said }) => said?.status === 'complete' && tenant.oracle.check(read.map(seen), window).lost.length === 0 && miscounted(said, read).length === 0,
      this.#drainMs,
    );
    for (const { recorded } of shown) positions.take(recorded.log_id, recorded.log_index);
    const backwards = await asked.all(`/v1/events?${range}&order=desc`, 900);
    return together([
      tenant.oracle.check(shown.map(seen), window),
      tenant.oracle.check(backwards.map(seen), window),
      { incomplete: known?.status === 'complete' ? [] : [`${tenant.name} ${window ?? 'ever'}: ${known?.status ?? 'no page'}`] },
      { miscounted: known === undefined ? [] : miscounted(known, shown).map((what) => `${tenant.name} ${window ?? 'ever'}: ${what}`) },
      await this.#checkIds(tenant, asked, shown),
      await this.#sendAgain(tenant, service, shown),
      tenant.oracle.checkQuarantine(await quarantined(asked)),
    ]);
  }

  /** What is recorded must be known when it is sent again. */
  async #sendAgain({ name, key }: KnownTenant, service: ServiceClient, shown: readonly Shown[]): Promise<Partial<Verdict>> {
    const some = this.#random.some(shown, AGAIN_MAX);
    if (some.length === 0) return {};
    // Held until it is settled what they are.
    const answer = await service.post(some.map(({ raw }) => `${raw}\n`).join(''), { type: 'application/x-ndjson', key, headers: { prefer: `wait=${DRAIN_MS / 2000}` } });
    const { duplicates } = answer.json() as { duplicates?: number };
    return { forgotten: duplicates === some.length ? [] : [`${name}: ${some.length} events sent again, and the answer was ${answer.status} ${answer.text.slice(0, 200)}`] };
  }

  async #readWindow(asked: Tenant, range: string): Promise<{ shown: Shown[]; known: Completeness | undefined }> {
    const shown: Shown[] = [];
    let last: Page | undefined;
    for await (const page of asked.pages(`/v1/events?${range}`, 1000)) {
      shown.push(...page.events);
      last = page;
    }
    return { shown, known: last?.completeness };
  }

  /** Conflicts before others: there is more to be wrong with. */
  async #checkIds({ oracle }: KnownTenant, asked: Tenant, shown: readonly Shown[]): Promise<Verdict> {
    const listed = new Set(shown.map(({ event }) => event.event_id));
    const conflicting = oracle.conflicting().filter((id) => listed.has(id));
    const ids = new Set([...this.#random.some(conflicting, IDS_MAX), ...this.#random.some([...listed], IDS_MAX / 5)]);
    const verdicts: Partial<Verdict>[] = [];
    for (const id of ids) {
      const found = await asked.event(id);
      if (found === undefined) verdicts.push({ lost: [id] });
      else verdicts.push(oracle.checkId(id, ofId(found), found.conflicts.map(ofId)));
    }
    return together(verdicts);
  }
}

const seen = ({ event, raw }: Shown): Seen => ({ id: event.event_id, raw });

const ofId = (shown: Shown): Seen & { conflict: boolean } => ({ ...seen(shown), conflict: shown.recorded.flags.includes('conflict') });

async function quarantined(asked: Tenant): Promise<Set<string>> {
  const texts = new Set<string>();
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const answer = await asked.get(`/v1/quarantine?${EVER}&limit=1000${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`);
    if (answer.status !== 200) throw new Error(`no quarantine: ${answer.status} ${answer.text.slice(0, 500)}`);
    const page = answer.json() as { entries: { raw_base64: string }[]; next_cursor: string | null };
    for (const { raw_base64: raw } of page.entries) texts.add(Buffer.from(raw, 'base64').toString('utf8'));
    cursor = page.next_cursor;
  }
  return texts;
}

/** Copies that lists hide are still rows, and whoever counts rows counts them. */
function miscounted(known: Completeness, shown: readonly Shown[]): string[] {
  return (['late', 'conflict'] as const).flatMap((flag) => {
    const listed = shown.filter(({ recorded }) => recorded.flags.includes(flag)).length;
    const counted = flag === 'late' ? known.late : known.conflicts;
    return counted === listed ? [] : [`${flag} ${counted} times, and ${listed} are listed`];
  });
}

/** Never counted twice: what agents are said to have done is what is listed of them. */
async function checkAgents(tenant: KnownTenant, service: ServiceClient): Promise<Partial<Verdict>> {
  const asked = new PatientTenant(service, tenant.name, tenant.key);
  const ids = Map.groupBy(await asked.everything(), ({ event }) => event.agent.id);
  const wrong = (await asked.agents()).filter(({ agent_id: id, events }) => new Set(ids.get(id)?.map(({ event }) => event.event_id)).size !== events);
  return { miscounted: wrong.map(({ agent_id: id }) => `${tenant.name} ${id}`) };
}
