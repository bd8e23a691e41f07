import { Command } from 'commander';
import type { Io } from '../io.ts';
import { addSending, sendFiles } from '../send-files.ts';

export function importCommand(io: Io): Command {
  const cloudTrail = addSending(new Command('cloudtrail'))
    .description('AWS CloudTrail: log files as delivered, arrays, or one record a line; gzip or not; - is standard input')
    .argument('<file...>');
  cloudTrail.action((files: string[]) => sendFiles(cloudTrail, io, files, { path: '/v1/import/cloudtrail', wrapper: 'Records' }));
  return new Command('import').description('record what other systems recorded').addCommand(cloudTrail);
}
