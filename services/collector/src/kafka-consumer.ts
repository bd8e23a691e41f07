import { KafkaSession, type SessionOptions } from './kafka-session.ts';

const BACKOFF_MS = 200;
const BACKOFF_MAX_MS = 10_000;

/** Reads events from Kafka for as long as the service runs, whatever becomes of the brokers. */
export class KafkaConsumer {
  readonly #options: SessionOptions;
  #session: KafkaSession | undefined;
  #stopped = Promise.withResolvers<void>();
  #stopping = false;
  #running: Promise<void> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Returns at once: brokers that cannot be reached keep nobody waiting. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops reading, waits for what is being recorded, commits it, leaves the group. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped.resolve();
    await this.#session?.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log, clock, telemetry } = this.#options;
    for (let failures = 0; !this.#stopping; ) {
      const session = new KafkaSession(this.#options);
      this.#session = session;
      try {
        await session.run();
      } catch (error) {
        if (this.#stopping) return;
        if (session.joined) failures = 0;
        const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** failures++);
        telemetry.kafkaRestarted();
        log.error({ err: error, wait_ms: waitMs }, 'the kafka consumer has ended and will be started again');
        await Promise.race([clock.sleep(waitMs), this.#stopped.promise]);
      }
    }
  }
}
