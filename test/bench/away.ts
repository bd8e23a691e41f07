import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, highestRate } from './highest-rate.ts';
import { BATCH, Pace, percentile } from './posting.ts';
import { runService, type BenchService } from './run-service.ts';
import { SwitchedProxy } from './switched-proxy.ts';

export interface AwayResult {
  readonly minutes_away: number;
  readonly max_events_per_second: number;
  /** Half of it, sent all the time. */
  readonly events_per_second: number;
  readonly sent: number;
  readonly refused_requests: number;
  readonly rss_steady_mib: number;
  /** The highest from the outage to the end of the backlog. */
  readonly rss_max_mib: number;
  readonly rss_ratio: number;
  /** The same without the ids that the service remembers, which grow with what is recorded whether ClickHouse is away or not. */
  readonly rss_without_ids_ratio: number;
  readonly ids_mib_at_the_end: number;
  readonly backlog_events: number;
  readonly drain_seconds: number;
  /** Events stored a second while the backlog drains, to events that arrive a second. */
  readonly drain_to_arrival: number;
  readonly acknowledged_p99_ms_away: number;
}

const STEADY_S = 60;

/** Events at half of the highest rate, while ClickHouse is there, then away, then there again until it has caught up. */
export async function benchAway(minutes: number): Promise<AwayResult> {
  const proxy = new SwitchedProxy();
  const service = await runService((url) => proxy.start(url));
  const counter = new Counter(service);
  const pace = new Pace(service.url, service.key, 'pace');
  const rss = new RssMeter(service);
  try {
    const { rate: max, events } = await highestRate(service, counter);
    let over = false;
    const pacing = pace.run(max / 2, () => over);
    await rss.for(STEADY_S);
    const { max: steady, maxWithoutIds: steadyWithoutIds } = rss;
    const before = pace.latenciesMs.length;
    proxy.close();
    await rss.for(minutes * 60);
    const p99 = percentile(pace.latenciesMs.slice(before), 0.99);
    const backlog = pace.acknowledged + events - (await counter.stored());
    proxy.open();
    const begin = performance.now();
    const storedBefore = await counter.stored();
    // Until what is stored is no more than two seconds behind what is acknowledged.
    while (pace.acknowledged + events - (await counter.stored()) > max) {
      await rss.for(1);
      if (performance.now() - begin > minutes * 60_000 * 3 + 60_000) break;
    }
    const drainSeconds = (performance.now() - begin) / 1000;
    const drained = (await counter.stored()) - storedBefore;
    over = true;
    await pacing;
    for (let last = -1, now = await counter.stored(); now !== last && now < pace.acknowledged + events; now = await counter.stored()) {
      last = now;
      await sleep(2_000);
    }
    if ((await counter.stored()) !== pace.acknowledged + events) throw new Error(`${await counter.stored()} events are stored of ${pace.acknowledged + events} that were acknowledged`);
    return {
      minutes_away: minutes, max_events_per_second: Math.round(max), events_per_second: Math.round(max / 2), sent: pace.sent,
      refused_requests: (pace.sent - pace.acknowledged) / BATCH, rss_steady_mib: Math.round(steady), rss_max_mib: Math.round(rss.max), rss_ratio: Number((rss.max / steady).toFixed(2)),
      rss_without_ids_ratio: Number((rss.maxWithoutIds / steadyWithoutIds).toFixed(2)), ids_mib_at_the_end: Math.round(rss.ids),
      backlog_events: backlog, drain_seconds: Math.round(drainSeconds), drain_to_arrival: Number((drained / drainSeconds / (max / 2)).toFixed(2)), acknowledged_p99_ms_away: Math.round(p99),
    };
  } finally {
    pace.close();
    await counter.close();
    await service.stop();
    await proxy.stop();
  }
}

/** Resident memory of the service, from /proc, and what of it holds ids. */
class RssMeter {
  readonly #service: BenchService;
  max = 0;
  maxWithoutIds = 0;
  ids = 0;

  constructor(service: BenchService) {
    this.#service = service;
  }

  async for(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      const status = readFileSync(`/proc/${this.#service.pid}/status`, 'utf8');
      const rss = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
      this.ids = await this.#idsMib();
      this.max = Math.max(this.max, rss);
      this.maxWithoutIds = Math.max(this.maxWithoutIds, rss - this.ids);
      await sleep(500);
    }
  }

  async #idsMib(): Promise<number> {
    const { url, key } = this.#service;
    const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })).text();
    return Number(/^agent_audit_known_ids_bytes (\d+)/m.exec(text)?.[1]) / 1024 / 1024;
  }
}
