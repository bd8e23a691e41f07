import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const KAFKA_VERSION = '4.3.1';

/** What the machine lacks for a broker: the reason for which tests are left out. */
export class NoKafka extends Error {
  override readonly name = 'NoKafka';
}

/** The broker, the tools without the half of Kafka Connect that they depend on, and where log4j is asked by slf4j. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>agent-audit</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${KAFKA_VERSION}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency>
  </dependencies>
</project>
`;

/**
 * The folder with Kafka's jars; downloaded by Maven once and kept.
 *
 * Safe when several processes ask at a time: each downloads beside it, and the first to be done gives it its name.
 *
 * @throws NoKafka naming what is missing
 */
export async function kafkaJars(): Promise<string> {
  await works('java', ['-version'], 'no Java');
  const jars = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'agent-audit', `kafka-${KAFKA_VERSION}`);
  if (existsSync(jars)) return jars;
  await works('mvn', ['-version'], 'no Maven');
  await mkdir(dirname(jars), { recursive: true });
  const download = await mkdtemp(`${jars}-`);
  try {
    await writeFile(join(download, 'pom.xml'), POM);
    const copy = ['--batch-mode', '--quiet', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(download, 'jars')}`];
    await run('mvn', copy, { cwd: download }).catch((error: { stdout?: string; message: string }) => {
      throw new NoKafka(`Kafka ${KAFKA_VERSION} could not be downloaded: ${(error.stdout || error.message).trim().split('\n', 1)[0]}`);
    });
    await rename(join(download, 'jars'), jars).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    return jars;
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}

async function works(command: string, args: string[], reason: string): Promise<void> {
  await run(command, args).catch(() => {
    throw new NoKafka(reason);
  });
}
