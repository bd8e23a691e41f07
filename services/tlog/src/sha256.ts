import { hash } from 'node:crypto';

/**
 * SHA-256 of some bytes, written into others. Asked for as text of one letter a byte: a digest as a Buffer of its own takes
 * twice the time of hashing a short input.
 */
export function sha256Into(to: Buffer, at: number, bytes: Uint8Array): void {
  to.write(hash('sha256', bytes, 'latin1'), at, 'latin1');
}
