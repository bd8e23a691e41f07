export { endorsementText, verifyEndorsements } from './endorsement.ts';
export { LogKeyError, type KeySource, type LogKey, type LogKeyErrorCode } from './log-key.ts';
export { openLogKeys, type LogKeys, type LogKeysOptions } from './log-keys.ts';
export type { SignCommand } from './key-signers.ts';
