import { Command } from 'commander';
import type { Io } from '../io.ts';
import { addSending, sendFiles } from '../send-files.ts';

export function sendCommand(io: Io): Command {
  const command = addSending(new Command('send')).description('record events: NDJSON, arrays or single events; gzip or not; - is standard input').argument('<file...>');
  return command.action((files: string[]) => sendFiles(command, io, files, { path: '/v1/events', wrapper: undefined }));
}
