import { promisify } from 'node:util';
import { gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib';

/** What kafkajs asks of a codec: the records of one batch in, the same compressed out, and back. */
export interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
}

/** What a batch may unpack to. A batch has a megabyte unless a broker is set otherwise, and its sender may be hostile. */
const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;
const limits = { maxOutputLength: UNPACKED_BYTES_MAX };

const zstdPack = promisify(zstdCompress);
const zstdUnpack = promisify(zstdDecompress);
const gzipPack = promisify(gzip);
const gzipUnpack = promisify(gunzip);

export const gzipCodec: Codec = {
  compress: ({ buffer }) => gzipPack(buffer),
  decompress: (bytes) => gzipUnpack(bytes, limits),
};

export const zstdCodec: Codec = {
  compress: ({ buffer }) => zstdPack(buffer),
  decompress: (bytes) => zstdUnpack(bytes, limits),
};

/** LZ4 frames, as every client writes them since message format 2. The native module is loaded when it is needed. */
export const lz4Codec: Codec = {
  async compress({ buffer }) {
    return (await import('lz4-napi')).compressFrame(buffer);
  },
  async decompress(bytes) {
    return (await import('lz4-napi')).decompressFrame(bytes);
  },
};

/**
 * Snappy in the framing of xerial's SnappyOutputStream, which Java's clients write; librdkafka writes one bare block,
 * so both are read.
 *
 * frame: magic (8 bytes), version and compatible version (int32 each), then blocks: length (int32, big endian), bytes
 */
export const snappyCodec: Codec = {
  async compress({ buffer }) {
    const { compress } = await import('snappy');
    const parts: Buffer[] = [XERIAL_HEADER];
    for (let at = 0; at < buffer.length; at += XERIAL_BLOCK_BYTES) {
      const block = await compress(buffer.subarray(at, at + XERIAL_BLOCK_BYTES));
      const length = Buffer.alloc(4);
      length.writeInt32BE(block.length);
      parts.push(length, block);
    }
    return Buffer.concat(parts);
  },
  async decompress(bytes) {
    const { uncompress } = await import('snappy');
    if (!bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return asBuffer(await uncompress(bytes));
    const parts: Buffer[] = [];
    for (let at = XERIAL_HEADER.length; at < bytes.length; ) {
      const length = bytes.readInt32BE(at);
      const end = at + 4 + length;
      if (length < 0 || end > bytes.length) throw new Error('a block of snappy is cut off');
      parts.push(asBuffer(await uncompress(bytes.subarray(at + 4, end))));
      at = end;
    }
    return Buffer.concat(parts);
  },
};

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER = Buffer.concat([XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])]);
const XERIAL_BLOCK_BYTES = 32 * 1024;

const asBuffer = (bytes: string | Buffer): Buffer => (typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
