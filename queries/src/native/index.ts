export { encodeBlock } from './block.ts';
export { ByteBuffer } from './byte-buffer.ts';
export * from './columns.ts';
