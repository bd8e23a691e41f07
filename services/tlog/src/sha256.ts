import { hash } from 'node:crypto';
import type * as Ffi from 'node:ffi';

const SHA256_BYTES = 32;
/** OpenSSL's SHA256_CTX has 112. */
const CONTEXT_BYTES = 256;

/**
 * SHA-256 over and over, of what is written into one buffer: for hundreds of thousands of hashes a second. It calls OpenSSL
 * where it may (`node:ffi`), without an object for any hash; that takes half as long as Node's own way.
 */
export class Sha256 {
  /** What is hashed, from its beginning. Valid until `reserve`. */
  input: Buffer<ArrayBuffer>;
  #openssl: OpensslSha256 | undefined;

  /** @param capacity of the input, bytes */
  constructor(capacity: number) {
    this.input = Buffer.alloc(capacity);
    this.#openssl = bind(this.input);
  }

  /** Makes room for an input of so many bytes; what was in it is gone. */
  reserve(bytes: number): void {
    if (bytes <= this.input.length) return;
    this.input = Buffer.alloc(2 * bytes);
    this.#openssl = bind(this.input);
  }

  /** Hashes the first `length` bytes of the input, and writes the 32 bytes to `to` from `at` on. */
  digest(length: number, to: Buffer, at: number): void {
    if (this.#openssl !== undefined) this.#openssl.digest(length, to, at);
    // As text of one letter a byte: a Buffer of its own takes longer than hashing a short input.
    else to.write(hash('sha256', this.input.subarray(0, length), 'latin1'), at, 'latin1');
  }
}

interface Functions {
  readonly SHA256_Init: (context: bigint) => number;
  readonly SHA256_Update: (context: bigint, data: bigint, length: bigint) => number;
  readonly SHA256_Final: (digest: bigint, context: bigint) => number;
}

class OpensslSha256 {
  readonly #functions: Functions;
  readonly #input: bigint;
  readonly #output = new Uint8Array(SHA256_BYTES);
  readonly #outputAddress: bigint;
  /** Held, so that its address stays good. */
  readonly #context = new Uint8Array(CONTEXT_BYTES);
  readonly #contextAddress: bigint;
  /** By length: making one takes as long as a call. */
  readonly #lengths: bigint[] = [];

  constructor({ getRawPointer }: typeof Ffi, functions: Functions, input: Buffer<ArrayBuffer>) {
    this.#functions = functions;
    this.#input = getRawPointer(input.buffer) + BigInt(input.byteOffset);
    this.#outputAddress = getRawPointer(this.#output.buffer);
    this.#contextAddress = getRawPointer(this.#context.buffer);
  }

  digest(length: number, to: Buffer, at: number): void {
    const { SHA256_Init: init, SHA256_Update: update, SHA256_Final: final } = this.#functions;
    init(this.#contextAddress);
    update(this.#contextAddress, this.#input, (this.#lengths[length] ??= BigInt(length)));
    final(this.#outputAddress, this.#contextAddress);
    to.set(this.#output, at);
  }
}

let openssl: { readonly ffi: typeof Ffi; readonly functions: Functions } | undefined | null = null;

function bind(input: Buffer<ArrayBuffer>): OpensslSha256 | undefined {
  openssl = openssl === null ? findOpenssl() : openssl;
  return openssl === undefined ? undefined : new OpensslSha256(openssl.ffi, openssl.functions, input);
}

/** OpenSSL as it is part of this process; undefined where it cannot be called. */
function findOpenssl(): { readonly ffi: typeof Ffi; readonly functions: Functions } | undefined {
  try {
    const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
    const found = ffi?.dlopen(null, {
      SHA256_Init: { arguments: ['pointer'], return: 'int32' },
      SHA256_Update: { arguments: ['pointer', 'pointer', 'uint64'], return: 'int32' },
      SHA256_Final: { arguments: ['pointer', 'pointer'], return: 'int32' },
    });
    return ffi === undefined || found === undefined ? undefined : { ffi, functions: found.functions as unknown as Functions };
  } catch {
    // It may not, or Node was built with another library.
    return undefined;
  }
}
