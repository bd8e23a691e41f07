import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toolCall } from '../support/events.ts';
import { ServiceFolder, type ServiceProcess } from '../support/service.ts';
import { StoreProxy } from '../support/store-proxy.ts';
import { startTestEngine } from '../support/store.ts';
import { until } from '../support/until.ts';

let engine: Awaited<ReturnType<typeof startTestEngine>>;
let proxy: StoreProxy;
let folder: ServiceFolder;
let settings: Record<string, string>;
let service: ServiceProcess;
beforeAll(async () => {
  engine = await startTestEngine();
  proxy = await StoreProxy.start(engine.options.url);
  folder = await ServiceFolder.make();
  settings = { CLICKHOUSE_URL: proxy.url, CLICKHOUSE_USER: engine.options.username as string, CLICKHOUSE_PASSWORD: engine.options.password as string };
});
afterAll(async () => {
  await folder.remove();
  await proxy.stop();
  await engine[Symbol.asyncDispose]();
});

describe('a service', () => {
  it('waits for a ClickHouse that is not there yet', async () => {
    let asked = 0;
    proxy.treat = () => {
      asked++;
      return 'cut-before';
    };
    const starting = folder.start({ settings });
    await until(() => asked, (times) => times > 1, 30_000);
    proxy.treat = () => 'pass';
    service = await starting;
    expect(service.log).toContain('waiting for it');
    expect((await service.post(JSON.stringify(toolCall()))).json()).toMatchObject({ accepted: 1 });
  });

  it('is ready for events while its ClickHouse is away, and says so', async () => {
    proxy.treat = () => 'cut-before';
    expect(await service.send('/readyz')).toMatchObject({ status: 200 });
    expect((await service.send('/readyz')).json()).toMatchObject({ status: 'degraded', intake: 'open', store: 'does not answer' });
    proxy.treat = () => 'pass';
    await until(async () => (await service.send('/readyz')).json(), (state) => (state as { status: string }).status === 'ready');
  });

  it('does not start in a folder that another one uses', async () => {
    await expect(folder.start({ settings })).rejects.toThrow(`another service is using ${folder.dataDir}`);
  });

  it('says at once that a password is wrong', async () => {
    const other = await ServiceFolder.make();
    await expect(other.start({ settings: { ...settings, CLICKHOUSE_PASSWORD: 'wrong' } })).rejects.toThrow('AUTHENTICATION_FAILED');
    await other.remove();
  });
});
