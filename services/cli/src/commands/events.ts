import { Command } from 'commander';
import type { Io } from '../io.ts';
import { addWindow, listEvents } from '../list-events.ts';

export function eventsCommand(io: Io): Command {
  const command = new Command('events').description('events between two moments that match every filter');
  return addWindow(command).action(() => listEvents(command, io, '/v1/events', { agent: true }));
}
