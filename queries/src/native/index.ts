export { encodeBlock } from './block.ts';
export { BlockWriter, type Block } from './block-writer.ts';
export { ByteBuffer } from './byte-buffer.ts';
export * from './columns.ts';
export { BlockReader } from './block-reader.ts';
