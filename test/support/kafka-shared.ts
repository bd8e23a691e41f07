import { describe, inject } from 'vitest';
import type { KafkaAddress } from './kafka-broker.ts';

/** A suite that needs a broker: skipped, with the reason in its name, where there can be none. */
export function describeWithKafka(name: string, suite: (kafka: KafkaAddress) => void): void {
  const kafka = inject('kafka');
  if ('missing' in kafka) describe.skip(`${name} (not run: ${kafka.missing})`, () => suite(NOWHERE));
  else describe(name, () => suite(kafka));
}

const NOWHERE: KafkaAddress = { at: { plain: '', sasl: '', tls: '', mtls: '', sasltls: '' }, dir: '' };

let topics = 0;

/** A name that no other test uses: they share the broker. */
export function newTopic(): string {
  topics++;
  return `events-${process.pid}-${Date.now()}-${topics}`;
}
