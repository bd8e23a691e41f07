export * from './checkpoint.ts';
export * from './merkle.ts';
export * from './note.ts';
export * from './tiles.ts';
export * from './tlog-proof.ts';
