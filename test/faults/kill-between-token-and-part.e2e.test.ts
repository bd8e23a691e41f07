import { globSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toolCall } from '../support/events.ts';
import type { Answer } from '../support/http.ts';
import { isAlive, ServiceFolder, signal, type ServiceProcess } from '../support/service.ts';
import { until } from '../support/until.ts';

/*
 * ClickHouse writes an insert's token into the table's deduplication log first and renames the part into place
 * second (MergeTreeSink::commitPart). Killed in between, it knows the token and has no part: the same insert sent
 * again is dropped as a duplicate, with success. Who believes that acknowledges what is not there.
 */

let folder: ServiceFolder;
beforeEach(async () => {
  folder = await ServiceFolder.make();
});
afterEach(() => folder.remove());

/** A part that came from an insert, not from a merge: its level is 0. */
const INSERTED = /^\d{6}_\d+_\d+_0$/;

/** The tables that keep a deduplication log, with their logs' sizes and their parts. */
function tables(): { dir: string; logBytes: number; parts: Set<string> }[] {
  return globSync(join(folder.dataDir, 'clickhouse/**/deduplication_logs')).map((logs) => ({
    dir: dirname(logs),
    logBytes: readdirSync(logs).reduce((sum, name) => sum + statSync(join(logs, name)).size, 0),
    parts: new Set(readdirSync(dirname(logs)).filter((name) => INSERTED.test(name))),
  }));
}

/** Until the engine answers inserts again. */
async function ready(service: ServiceProcess): Promise<void> {
  await until(async () => (await service.send('/readyz')).json(), (state) => (state as { store: string }).store === 'answers', 20_000);
  expect((await service.post(JSON.stringify(toolCall()))).status).toBe(202);
}

/**
 * Records one event and kills the engine when its token is logged.
 *
 * @returns the answer to the request; undefined when the moment was missed
 */
async function killAfterToken(service: ServiceProcess, eventId: string): Promise<Answer | undefined> {
  const engine = await service.enginePid();
  const before = tables();
  const failures = await failedInserts(service);
  const request = { answered: false };
  const answer = service.post(JSON.stringify(toolCall({ event_id: eventId }))).finally(() => {
    request.answered = true;
  });
  let changed: ReturnType<typeof tables>[0] | undefined;
  // It is a matter of a millisecond, so there is no pause between two looks.
  while (changed === undefined && !request.answered) {
    await turn();
    changed = tables().find(({ logBytes }, i) => logBytes !== before[i]?.logBytes);
  }
  if (changed === undefined || request.answered) return undefined;
  signal(engine, 'SIGKILL');
  await until(() => isAlive(engine), (alive) => !alive);
  // Mostly the part is in place already. Before its rename the disk would look like this; nothing was answered yet.
  const { dir } = changed;
  const known = before.find((table) => table.dir === dir)?.parts ?? new Set();
  for (const name of readdirSync(dir)) if (INSERTED.test(name) && !known.has(name)) rmSync(join(dir, name), { recursive: true });
  const given = await answer;
  // Had the insert been answered after all, then the part that was taken away was no longer the engine's alone.
  return (await failedInserts(service)) > failures ? given : undefined;
}

/** Inserts that the service saw fail so far. */
async function failedInserts(service: ServiceProcess): Promise<number> {
  return Number(/^agent_audit_insert_failures_total (\d+)$/m.exec((await service.get('/metrics')).text)?.[1]);
}

test('an event that is acknowledged after a kill between token and part is in the record', async () => {
  const service = await folder.start();
  for (let attempt = 0; attempt < 20; attempt++) {
    await ready(service);
    const eventId = `between-${attempt}`;
    const answer = await killAfterToken(service, eventId);
    if (answer === undefined) continue;
    await until(async () => (await service.send('/readyz')).json(), (state) => (state as { store: string }).store === 'answers', 20_000);
    // To refuse is allowed; to acknowledge and lose is not.
    if (answer.status === 202) expect((await service.get(`/v1/events/${eventId}`)).status).toBe(200);
    return;
  }
  throw new Error('the moment was missed twenty times');
});
