export * from './event.ts';
export * from './finding.ts';
export * from './keys.ts';
export * from './log/tile-source.ts';
export * from './log/verify-log.ts';
