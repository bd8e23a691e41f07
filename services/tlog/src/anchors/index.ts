export { AnchorError, type AnchorErrorCode, type AnchorTarget, type Offered } from './anchor.ts';
export { Anchors, type AnchorsOptions, type AnchorState } from './anchors.ts';
export { parseAnchorTargets, type AnchorSettings } from './parse-targets.ts';
export type { AnchorFailure } from './target-queue.ts';
