export * from './event.ts';
export * from './finding.ts';
export * from './keys.ts';
export * from './log/tile-source.ts';
export * from './log/verify-log.ts';
export type { Tombstone, TombstoneOf } from './store/name-suspects.ts';
export { signedTombstones } from './store/signed-tombstones.ts';
export * from './store/verify-store.ts';
