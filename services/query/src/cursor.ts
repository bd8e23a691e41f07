export { decodeCursor, encodeCursor } from '@agent-audit/shared';
