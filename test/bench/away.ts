import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, highestRate } from './highest-rate.ts';
import { BATCH, Pace, percentile } from './posting.ts';
import { runService } from './run-service.ts';
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
  const rss = new RssMeter(service.pid as number);
  try {
    const { rate: max, events } = await highestRate(service, counter);
    let over = false;
    const pacing = pace.run(max / 2, () => over);
    await rss.for(STEADY_S);
    const steady = rss.max();
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
      refused_requests: (pace.sent - pace.acknowledged) / BATCH, rss_steady_mib: steady, rss_max_mib: rss.max(), rss_ratio: Number((rss.max() / steady).toFixed(2)),
      backlog_events: backlog, drain_seconds: Math.round(drainSeconds), drain_to_arrival: Number((drained / drainSeconds / (max / 2)).toFixed(2)), acknowledged_p99_ms_away: Math.round(p99),
    };
  } finally {
    pace.close();
    await counter.close();
    await service.stop();
    await proxy.stop();
  }
}

/** Resident memory of a process, from /proc. */
class RssMeter {
  readonly #pid: number;
  #max = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  async for(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      this.#max = Math.max(this.#max, mib(this.#pid));
      await sleep(250);
    }
  }

  max(): number {
    return this.#max;
  }
}

function mib(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}
