import { CompressionTypes, Problem, TENANT_HEADER, type Kafka, type Log, type Message, type Producer } from '@agent-audit/shared';
import { eventIdAt } from './event-id.ts';
import type { EventSink, Recording, RecordResult } from './event-sink.ts';
import { refusedHeaders } from './kafka-refused.ts';
import { NotRecorded } from './not-recorded.ts';

export interface KafkaBufferOptions {
  readonly kafka: Kafka;
  readonly topic: string;
  readonly log: Log;
}

/** Bytes of one request to the broker, which takes a megabyte per partition and request unless it is set otherwise. */
const SEND_BYTES = 768 * 1024;
/** Bytes of events that brokers have not acknowledged; beyond it, requests are refused. */
const QUEUE_BYTES = 128 * 1024 * 1024;
/** What a message takes beside its value, or more. */
const OVERHEAD_BYTES = 512;
/** Every replica in sync has it. */
const ACKS_ALL = -1;

/**
 * Makes events durable in a Kafka topic, from which consumers record them (`AGENT_AUDIT_BUFFER=kafka`).
 *
 * All copies of an event_id go to one partition, so one consumer sees them, in order. What is known already is not
 * known here: everything counts as accepted, and duplicates are told when it is recorded.
 */
export class KafkaBuffer implements EventSink {
  readonly #options: KafkaBufferOptions;
  readonly #producer: Producer;
  #connected: Promise<void> | undefined;
  #queuedBytes = 0;

  constructor(options: KafkaBufferOptions) {
    this.#options = options;
    this.#producer = options.kafka.producer();
  }

  /** Brokers that cannot keep up answer late, and are asked no more than `QUEUE_BYTES` at a time. */
  room(): undefined {
    return undefined;
  }

  async record(recording: Recording): Promise<RecordResult> {
    const accepted = recording.tape.count;
    // No await before this: the bytes are somebody else's as soon as this returns.
    const { requests, bytes } = requestsOf(recording);
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > QUEUE_BYTES) throw new NotRecorded('too many events wait for Kafka');
    this.#queuedBytes += bytes;
    try {
      await this.#connect();
      const { topic } = this.#options;
      // All of them to their end: until then they take up memory.
      const sent = await Promise.allSettled(requests.map((messages) => this.#producer.send({ topic, acks: ACKS_ALL, compression: CompressionTypes.ZSTD, messages })));
      for (const result of sent) if (result.status === 'rejected') throw result.reason;
    } catch (error) {
      throw this.#refusal(error);
    } finally {
      this.#queuedBytes -= bytes;
    }
    return { accepted, duplicates: 0 };
  }

  async stop(): Promise<void> {
    await this.#connected?.catch(() => undefined);
    await this.#producer.disconnect();
  }

  /** A connection that failed is tried again with the next request; kafkajs itself keeps one that was made. */
  #connect(): Promise<void> {
    this.#connected ??= this.#producer.connect().catch((error: unknown) => {
      this.#connected = undefined;
      throw error;
    });
    return this.#connected;
  }

  #refusal(error: unknown): Error {
    const { type } = error as { type?: string };
    if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
      return new Problem('body_too_large', 'An event of this request is larger than the Kafka topic takes (max.message.bytes); nothing of the request was acknowledged.');
    }
    this.#options.log.warn({ err: error }, 'Kafka did not take events; their senders were told to repeat');
    return new NotRecorded('Kafka does not take events at the moment', { cause: error });
  }
}

/** The messages of a recording with bytes of their own, as many to a request as fit. */
function requestsOf({ tenant, tape, refused }: Recording): { requests: Message[][]; bytes: number } {
  const requests: Message[][] = [];
  let bytes = 0;
  let filled = SEND_BYTES;
  const add = (message: Message, size: number): void => {
    if (filled + size > SEND_BYTES) {
      requests.push([]);
      filled = 0;
    }
    filled += size;
    bytes += size;
    (requests.at(-1) as Message[]).push(message);
  };
  const headers = { [TENANT_HEADER]: tenant };
  for (let i = 0; i < tape.count; i++) {
    add({ key: `${tenant}/${eventIdAt(tape, i)}`, value: Buffer.from(tape.raw(i)), headers }, tape.rawBytes(i) + OVERHEAD_BYTES);
  }
  for (const event of refused) {
    const why = refusedHeaders(event);
    add({ value: Buffer.from(event.raw), headers: { ...headers, ...why } }, event.raw.length + JSON.stringify(why).length + OVERHEAD_BYTES);
  }
  return { requests, bytes };
}
