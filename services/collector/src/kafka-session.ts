import type { ReadLimits } from '@agent-audit/schemas';
import type { Clock, Consumer, EachBatchPayload, FetchedBatch, Kafka, KafkaMessage, Log, Telemetry } from '@agent-audit/shared';
import type { EventSink } from './event-sink.ts';
import { Chunk } from './kafka-chunk.ts';
import { takeMessage } from './kafka-message.ts';
import { PartitionProgress } from './kafka-progress.ts';
import { readRefused } from './kafka-refused.ts';
import { NOBODYS_TENANT, type FindTenant } from './kafka-tenant.ts';

export interface SessionOptions {
  readonly kafka: Kafka;
  readonly topics: readonly string[];
  readonly group: string;
  readonly findTenant: FindTenant;
  readonly limits: ReadLimits;
  readonly sink: EventSink;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** Bytes of messages that are being recorded; beyond it, no more are read. */
const IN_FLIGHT_BYTES = 32 * 1024 * 1024;
const FETCH_BYTES = 16 * 1024 * 1024;
const PARTITION_FETCH_BYTES = 4 * 1024 * 1024;
/** How long the broker holds a fetch while there is nothing new; also how long a stop waits for it. */
const FETCH_WAIT_MS = 1_000;
const HEARTBEAT_MS = 3_000;
const BACKOFF_MAX_MS = 5_000;
/** How long a stop waits for what is being recorded, and then for kafkajs to leave. */
const DRAIN_MS = 10_000;
const LEAVE_MS = 5_000;

/**
 * One life of a kafkajs consumer: from its connection to its crash or the stop of the service.
 *
 *   fetched --> read onto tapes --> being recorded (several chunks at a time) --> recorded --> offset committed
 *
 * Invariants: an offset is committed only when everything before it is recorded, and only in the generation of the group
 * in which its messages were read: kafkajs itself would commit partitions that it has lost under the next generation.
 * What is read again, since it was recorded and not committed, is told by its event_id.
 */
export class KafkaSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #ended = Promise.withResolvers<void>();
  /** By topic and partition. */
  readonly #progress = new Map<string, PartitionProgress>();
  #joined = false;
  /** Without the retries of `consumer.commitOffsets`, which may come in the next generation. */
  #commitNow: EachBatchPayload['commitOffsetsIfNecessary'] | undefined;
  #inFlightBytes = 0;
  #stopping = false;
  #over = false;
  #committing: Promise<void> | undefined;
  /** Resolved and replaced whenever a chunk is done. */
  #chunkDone = Promise.withResolvers<void>();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#consumer = options.kafka.consumer({
      groupId: options.group,
      sessionTimeout: 30_000,
      heartbeatInterval: HEARTBEAT_MS,
      maxBytes: FETCH_BYTES,
      maxBytesPerPartition: PARTITION_FETCH_BYTES,
      maxWaitTimeInMs: FETCH_WAIT_MS,
    });
  }

  /** Whether the group ever gave it partitions. */
  get joined(): boolean {
    return this.#joined;
  }

  /** Resolves after `stop`. @throws Error when the consumer could not start or has ended by itself */
  async run(): Promise<void> {
    const { telemetry, log } = this.#options;
    const consumer = this.#consumer;
    consumer.on('consumer.group_join', ({ payload }) => {
      this.#joined = true;
      telemetry.kafkaRebalanced();
      this.#showLag();
      log.info({ partitions: payload.memberAssignment }, 'reading from kafka');
    });
    consumer.on('consumer.crash', ({ payload }) => this.#end(payload.error));
    try {
      // A stop does not wait until brokers that do not answer have been given up.
      await Promise.race([this.#start(), this.#ended.promise]);
      await this.#ended.promise;
    } catch (error) {
      this.#end(error as Error);
      await this.#leave();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const consumer = this.#consumer;
    const steps = [
      () => consumer.connect(),
      () => consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true }),
      () => consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (payload) => this.#readBatch(payload) }),
    ];
    for (const step of steps) {
      if (!this.#over) await step();
    }
    // A stop that came meanwhile found nothing to leave yet.
    if (this.#over) await this.#leave();
  }

  /** Stops reading, waits for what is being recorded, commits it, leaves the group. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#over && this.joined) {
      // Otherwise kafkajs would fetch the same messages again and again while they are not taken.
      this.#consumer.pause(this.#options.topics.map((topic) => ({ topic })));
      const deadline = this.#options.clock.monotonicMs() + DRAIN_MS;
      while (this.#inFlightBytes > 0 && this.#options.clock.monotonicMs() < deadline) await Promise.race([this.#chunkDone.promise, this.#options.clock.sleep(100)]);
      await this.#commit();
    }
    await this.#leave();
    this.#end(undefined);
  }

  #end(error: Error | undefined): void {
    this.#over = true;
    this.#options.telemetry.kafkaLag(new Map());
    if (error === undefined) this.#ended.resolve();
    else this.#ended.reject(error);
  }

  /** kafkajs waits for a broker that does not answer as long as it likes. */
  async #leave(): Promise<void> {
    await Promise.race([this.#consumer.disconnect().catch(() => undefined), this.#options.clock.sleep(LEAVE_MS)]);
  }

  async #readBatch({ batch: fetched, resolveOffset, heartbeat, isRunning, isStale, commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> {
    const batch = fetched as FetchedBatch;
    const goesOn = (): boolean => !this.#stopping && !this.#over && isRunning() && !isStale() && batch.isCurrent();
    if (!goesOn()) return;
    this.#commitNow = commitOffsetsIfNecessary;
    const { messages } = batch;
    const progress = this.#progressOf(batch);
    progress.end = BigInt(batch.highWatermark);
    this.#showLag();
    for (let at = 0; at < messages.length; ) {
      const chunk = new Chunk();
      for (; at < messages.length && !chunk.full; at++) this.#read(batch.topic, batch.partition, messages[at] as KafkaMessage, chunk);
      await this.#waitForRoom(heartbeat, goesOn);
      if (!goesOn()) return chunk.release();
      const last = messages[at - 1] as KafkaMessage;
      // Behind the last message there may be markers of transactions, which are no messages.
      const next = BigInt(at === messages.length ? batch.lastOffset() : last.offset) + 1n;
      this.#startRecording(chunk, progress.begin(next), progress.isCurrent);
      resolveOffset(last.offset);
      await heartbeat();
    }
  }

  #progressOf({ topic, partition, messages, isCurrent }: FetchedBatch): PartitionProgress {
    const key = `${topic}/${partition}`;
    let progress = this.#progress.get(key);
    if (progress?.isCurrent() !== true) {
      progress = new PartitionProgress(topic, partition, BigInt(messages[0]?.offset ?? 0), isCurrent);
      this.#progress.set(key, progress);
    }
    return progress;
  }

  #read(topic: string, partition: number, message: KafkaMessage, chunk: Chunk): void {
    const { findTenant, limits } = this.#options;
    const { value, headers = {} } = message;
    chunk.messages++;
    chunk.bytes += value?.length ?? 0;
    const { tenant, error } = findTenant(topic, headers);
    const part = chunk.of(tenant ?? NOBODYS_TENANT);
    const raw = value ?? Buffer.alloc(0);
    const before = readRefused(headers);
    if (before !== undefined && error === undefined) return void part.refused.push({ ...before, raw });
    const poison = error === undefined ? takeMessage(message, part.tape, limits) : { eventId: undefined, errors: [error] };
    if (poison !== undefined) part.refused.push({ ...poison, origin: `kafka:${topic}/${partition}/${message.offset}`, raw });
  }

  async #waitForRoom(heartbeat: () => Promise<void>, goesOn: () => boolean): Promise<void> {
    const { sink, clock } = this.#options;
    while (this.#inFlightBytes >= IN_FLIGHT_BYTES && goesOn()) {
      await Promise.race([this.#chunkDone.promise, clock.sleep(HEARTBEAT_MS)]);
      await heartbeat();
    }
    const since = clock.monotonicMs();
    for (let room = sink.room(since); room !== undefined && goesOn(); room = sink.room(since)) {
      await Promise.race([room, clock.sleep(HEARTBEAT_MS)]);
      await heartbeat();
    }
  }

  #startRecording(chunk: Chunk, recorded: () => void, isCurrent: () => boolean): void {
    // A tombstone has no bytes and is under way all the same.
    const bytes = chunk.bytes + 1;
    this.#inFlightBytes += bytes;
    const finish = async (): Promise<void> => {
      const done = await this.#record(chunk, isCurrent);
      this.#inFlightBytes -= bytes;
      chunk.release();
      this.#chunkDone.resolve();
      this.#chunkDone = Promise.withResolvers();
      if (!done) return;
      recorded();
      await this.#commit();
    };
    void finish();
  }

  /**
   * Repeats what the sink does not take, for as long as the partition is ours.
   *
   * @returns false when it was given up; whoever reads the partition next will see the same messages
   */
  async #record(chunk: Chunk, isCurrent: () => boolean): Promise<boolean> {
    const results = await Promise.all(Array.from(chunk.parts, async (part) => {
      for (let attempt = 0; ; attempt++) {
        try {
          const { sink, telemetry } = this.#options;
          const { accepted, duplicates } = await sink.record(part);
          telemetry.events('accepted', accepted);
          telemetry.events('duplicate', duplicates);
          telemetry.events('rejected', part.refused.length);
          telemetry.kafkaQuarantined(part.refused.length);
          return true;
        } catch (error) {
          this.#options.log.warn({ err: error, attempt }, 'messages were not recorded, nor committed; they will be tried again');
          await this.#options.clock.sleep(Math.min(BACKOFF_MAX_MS, 100 * 2 ** attempt));
          if (this.#over || this.#stopping || !isCurrent()) return false;
        }
      }
    }));
    return results.every(Boolean);
  }

  /** Commits all that is recorded. One at a time: a later one covers what became due meanwhile. */
  #commit(): Promise<void> {
    this.#committing ??= this.#commitAll().finally(() => {
      this.#committing = undefined;
    });
    return this.#committing;
  }

  async #commitAll(): Promise<void> {
    for (let failures = 0; !this.#over; ) {
      const due = [...this.#progress.values()].flatMap((progress) => (progress.due === undefined || !progress.isCurrent() ? [] : [{ progress, offset: progress.due }]));
      if (due.length === 0) return;
      try {
        await this.#commitNow?.({
          topics: Array.from(Map.groupBy(due, ({ progress }) => progress.topic), ([topic, of]) => ({
            topic, partitions: of.map(({ progress, offset }) => ({ partition: progress.partition, offset: String(offset) })),
          })),
        });
        for (const { progress, offset } of due) progress.committed(offset);
        this.#options.telemetry.kafkaCommitted();
        this.#showLag();
        failures = 0;
      } catch (error) {
        // A stop has one try: what is not committed is read again, and told by its event_id.
        if (this.#stopping) return;
        this.#options.log.warn({ err: error }, 'offsets could not be committed; they will be tried again');
        await this.#options.clock.sleep(Math.min(BACKOFF_MAX_MS, 200 * 2 ** failures++));
      }
    }
  }

  #showLag(): void {
    const byPartition = new Map<number, number>();
    for (const { partition, lag, isCurrent } of this.#progress.values()) if (isCurrent()) byPartition.set(partition, (byPartition.get(partition) ?? 0) + lag);
    this.#options.telemetry.kafkaLag(byPartition);
  }
}
