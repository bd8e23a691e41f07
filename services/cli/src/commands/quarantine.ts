import { Command } from 'commander';
import type { Io } from '../io.ts';
import { quarantineList } from './quarantine-list.ts';
import { quarantineReplay } from './quarantine-replay.ts';

export function quarantineCommand(io: Io): Command {
  return new Command('quarantine')
    .description('events that were refused: look at them, and record them after a fix')
    .addCommand(quarantineList(io), { isDefault: true })
    .addCommand(quarantineReplay(io));
}
