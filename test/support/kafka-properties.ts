import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The ways into a test broker, each on a port of its own. */
export const LISTENERS = {
  plain: 'PLAINTEXT',
  sasl: 'SASL_PLAINTEXT',
  tls: 'SSL',
  /** Asks clients for a certificate. */
  mtls: 'SSL',
  sasltls: 'SASL_SSL',
} as const;

export type Listener = keyof typeof LISTENERS;
export type Ports = Readonly<Record<Listener | 'controller', number>>;

/** Who may come in where SASL is asked for; each mechanism knows it by another password. */
export const SASL_USER = 'recorder';
export const SASL_PASSWORDS = { plain: 'plain-secret', 'scram-sha-256': 'scram-256-secret', 'scram-sha-512': 'scram-512-secret' } as const;

/**
 * Writes what one broker with all listeners is started from into `dir`: certificates and `server.properties`.
 *
 * @param seenAs the folder's path as the broker sees it
 * @param bind the address it listens on; clients are always told 127.0.0.1
 */
export async function writeBrokerFiles(dir: string, ports: Ports, seenAs = dir, bind = '127.0.0.1'): Promise<void> {
  await makeCertificate(dir, 'server');
  await makeCertificate(dir, 'client');
  const trusted = await Promise.all(['server', 'client'].map((name) => readFile(join(dir, `${name}.crt`), 'utf8')));
  await writeFile(join(dir, 'trusted.pem'), trusted.join(''));
  await writeFile(join(dir, 'server.properties'), properties(ports, seenAs, bind));
}

/** Self-signed, so that it is its own authority; `<name>.pem` holds key and certificate, as Kafka wants them. */
async function makeCertificate(dir: string, name: string): Promise<void> {
  const [key, crt] = [join(dir, `${name}.key`), join(dir, `${name}.crt`)];
  await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', crt,
    '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost',
  ]);
  await writeFile(join(dir, `${name}.pem`), (await readFile(key, 'utf8')) + (await readFile(crt, 'utf8')));
}

function properties(ports: Ports, dir: string, bind: string): string {
  const names = Object.keys(LISTENERS) as Listener[];
  const at = (address: string): string => names.map((name) => `${name.toUpperCase()}://${address}:${ports[name]}`).join(',');
  const lines = [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${ports.controller}`,
    'controller.listener.names=CONTROLLER',
    `listeners=${at(bind)},CONTROLLER://127.0.0.1:${ports.controller}`,
    `advertised.listeners=${at('127.0.0.1')}`,
    `listener.security.protocol.map=CONTROLLER:PLAINTEXT,${names.map((name) => `${name.toUpperCase()}:${LISTENERS[name]}`).join(',')}`,
    'inter.broker.listener.name=PLAIN',
    `log.dirs=${dir}/data`,
    'log.retention.ms=-1',
    'num.partitions=3',
    'offsets.topic.num.partitions=1',
    'offsets.topic.replication.factor=1',
    // A lone consumer would wait three seconds for others.
    'group.initial.rebalance.delay.ms=0',
    'group.min.session.timeout.ms=1000',
    // After a crash, the node's own controller lets it in again only once it has given up on its life before.
    'broker.session.timeout.ms=1000',
    'broker.heartbeat.interval.ms=300',
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${dir}/server.pem`,
    'ssl.truststore.type=PEM',
    `ssl.truststore.location=${dir}/trusted.pem`,
    'listener.name.mtls.ssl.client.auth=required',
  ];
  for (const name of ['sasl', 'sasltls']) {
    lines.push(
      `listener.name.${name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512`,
      `listener.name.${name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_${SASL_USER}="${SASL_PASSWORDS.plain}";`,
      `listener.name.${name}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
      `listener.name.${name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Arguments with which `kafka-storage format` also makes the users of SCRAM. */
export function formatArguments(dir: string): string[] {
  const scram = (['scram-sha-256', 'scram-sha-512'] as const).flatMap((mechanism) => [
    '--add-scram', `${mechanism.toUpperCase()}=[name=${SASL_USER},password=${SASL_PASSWORDS[mechanism]}]`,
  ]);
  return ['format', '--ignore-formatted', '--cluster-id', 'agent-audit-tests-0000', '--config', `${dir}/server.properties`, ...scram];
}

/**
 * Ports that are free now. Below those that the system gives to outgoing connections: one of these could take the port
 * of a broker that is being restarted.
 */
export async function freePorts(): Promise<Ports> {
  const found = new Set<number>();
  const names = [...(Object.keys(LISTENERS) as Listener[]), 'controller'] as const;
  while (found.size < names.length) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) found.add(port);
  }
  const ports = [...found];
  return Object.fromEntries(names.map((name, i) => [name, ports[i]])) as Ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
