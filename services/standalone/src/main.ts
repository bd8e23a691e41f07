import { createLog, readConfig, type Log } from '@agent-audit/shared';
import { startStandalone, type Standalone } from './standalone.ts';

/** `npm start`: the whole service on one machine. Exits 0 after SIGTERM or SIGINT, 1 when it could not start or stop. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.LOG_LEVEL, 'agent-audit');
  const service = await startStandalone(config, log);
  stopOnSignal(service, log);
  greet(service);
}

function stopOnSignal(service: Standalone, log: Log): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    service.stop().then(
      () => {
        log.info('stopped');
        process.exit(0);
      },
      (error: unknown) => {
        log.fatal({ err: error }, 'could not stop in order');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/** For the person who started it: on standard error, so that a key never gets into the log. */
function greet({ url, adminKey }: Standalone): void {
  const lines = [`agent-audit is ready at ${url}`];
  if (adminKey !== undefined) {
    lines.push(
      '',
      'The first key of tenant `default`, with every scope. It is shown this once; keep it:',
      '',
      `  export AGENT_AUDIT_KEY=${adminKey}`,
      '',
      'A first look:',
      '',
      `  curl -H "Authorization: Bearer $AGENT_AUDIT_KEY" '${url}/v1/events?from=-1h'`,
    );
  }
  process.stderr.write(`\n${lines.join('\n')}\n\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`agent-audit cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
