import { setTimeout as sleep } from 'node:timers/promises';
import { createKafka, createLog, readConfig, type Kafka } from '@agent-audit/shared';
import { toolCall } from '../support/events.ts';
import { startKafkaBroker } from '../support/kafka-broker.ts';
import { Oracle, type Verdict } from '../support/oracle.ts';
import { Random } from '../support/random.ts';
import { ServiceFolder, type ServiceProcess } from '../support/service.ts';
import { startTestEngine } from '../support/store.ts';
import { Tenant } from '../support/tenant.ts';
import { until, untilOr } from '../support/until.ts';

export interface StormOptions {
  readonly rebalances: number;
  /** Broker restarts, every second one by SIGKILL. */
  readonly restarts: number;
  readonly seed: number;
  readonly say?: (line: string) => void;
}

export interface StormReport {
  readonly rebalances: number;
  /** As the services counted them. */
  readonly rebalances_seen: number;
  readonly restarts: number;
  readonly produced: number;
  readonly verdict: Pick<Verdict, 'lost' | 'repeated' | 'altered' | 'invented'> & { readonly miscounted: readonly string[] };
}

const TOPIC = 'storm';
const BATCH_MAX = 40;
const DRAIN_MS = 120_000;

/**
 * Two services of one group read a topic over one ClickHouse while a third member comes and goes, and the broker dies. What
 * the broker took must be shown, once.
 */
export async function runKafkaStorm({ rebalances, restarts, seed, say }: StormOptions): Promise<StormReport> {
  const random = new Random(seed);
  const broker = await startKafkaBroker();
  const engine = await startTestEngine();
  const folders = [await ServiceFolder.make(), await ServiceFolder.make()];
  const closing: (() => Promise<void>)[] = [() => broker.remove(), async () => engine[Symbol.asyncDispose](), ...folders.map((folder) => () => folder.remove())];
  try {
    const kafka = (await createKafka(readConfig({ AGENT_AUDIT_KAFKA_BROKERS: broker.at.plain }), createLog('silent', 'storm'))) as Kafka;
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 6 }] });
    await admin.disconnect();
    const settings = {
      CLICKHOUSE_URL: engine.options.url, CLICKHOUSE_USER: engine.options.username as string, CLICKHOUSE_PASSWORD: engine.options.password as string,
      KAFKA_BROKERS: broker.at.plain, KAFKA_TOPIC: TOPIC, KAFKA_GROUP: TOPIC,
    };
    const services: ServiceProcess[] = [];
    for (const folder of folders) services.push(await folder.start({ settings }));
    const oracle = new Oracle();
    const production = produce(kafka, oracle, random);
    closing.push(() => production.stop());
    for (let done = 0; done < rebalances; done++) {
      await comeAndGo(kafka, services, random);
      if (restarts > 0 && done % Math.max(1, Math.floor(rebalances / restarts)) === 0 && done / Math.max(1, Math.floor(rebalances / restarts)) < restarts) {
        await broker.stop(random.chance(0.5) ? 'SIGKILL' : 'SIGTERM');
        await broker.start();
        await production.progress();
      }
      if ((done + 1) % 10 === 0) say?.(`${done + 1} rebalances, ${oracle.acknowledged} events produced`);
    }
    await production.stop();
    return { rebalances, restarts, rebalances_seen: await rebalancesOf(services), produced: oracle.acknowledged, verdict: await judge(services[0] as ServiceProcess, oracle) };
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** A member that takes partitions and leaves them as they were. */
async function comeAndGo(kafka: Kafka, services: readonly ServiceProcess[], random: Random): Promise<void> {
  const before = await rebalancesOf(services);
  const member = kafka.consumer({ groupId: TOPIC });
  await member.connect();
  await member.subscribe({ topics: [TOPIC] });
  const joined = new Promise<void>((resolve) => void member.on(member.events.GROUP_JOIN, () => resolve()));
  await member.run({ autoCommit: false, eachBatch: () => sleep(50) });
  await joined;
  await until(() => rebalancesOf(services), (seen) => seen > before, 60_000);
  await sleep(random.int(200));
  await member.disconnect();
}

async function rebalancesOf(services: readonly ServiceProcess[]): Promise<number> {
  const counts = await Promise.all(services.map(async (service) => {
    const { text } = await service.get('/metrics');
    return Number(/^agent_audit_kafka_rebalances_total (\d+)/m.exec(text)?.[1] ?? 0);
  }));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Sends batches with repeats of earlier events among them; what gets no answer is sent again. */
function produce(kafka: Kafka, oracle: Oracle, random: Random): { stop(): Promise<void>; progress(): Promise<void> } {
  let stopping = false;
  const old: string[] = [];
  const running = (async () => {
    const producer = kafka.producer();
    await producer.connect();
    for (let next = 0; !stopping; await sleep(random.int(20))) {
      const events = Array.from({ length: 1 + random.int(BATCH_MAX) }, () => ({ id: `k-${next++}` })).map(({ id }) => ({ id, raw: JSON.stringify(toolCall({ event_id: id })) }));
      const repeats = random.some(old, 3);
      for (const { id, raw } of events) oracle.sends(id, raw);
      for (let sent = false; !sent; ) {
        sent = await producer.send({ topic: TOPIC, acks: -1, messages: [...events.map(({ raw }) => raw), ...repeats].map((value) => ({ value })) }).then(() => true, () => false);
        if (!sent) await sleep(100);
      }
      for (const { id, raw } of events) oracle.acknowledges(id, raw);
      old.push(...events.map(({ raw }) => raw));
    }
    await producer.disconnect();
  })();
  return {
    stop: () => {
      stopping = true;
      return running;
    },
    progress: async () => {
      const before = oracle.acknowledged;
      await until(() => oracle.acknowledged, (now) => now > before, 60_000);
    },
  };
}

async function judge(service: ServiceProcess, oracle: Oracle): Promise<StormReport['verdict']> {
  const tenant = new Tenant(service, 'default', service.adminKey);
  const look = async (): Promise<StormReport['verdict']> => {
    const shown = await tenant.everything();
    const counted = (await tenant.agents()).reduce((sum, { events }) => sum + events, 0);
    return { ...oracle.check(shown.map(({ event, raw }) => ({ id: event.event_id, raw }))), miscounted: counted === shown.length ? [] : [`${counted} are counted, ${shown.length} listed`] };
  };
  return untilOr(look, (verdict) => verdict.lost.length === 0 && verdict.miscounted.length === 0, DRAIN_MS);
}
