import { dlopen, getRawPointer } from 'node:ffi';

/** The few libc calls that Node does not offer. Needs `--experimental-ffi`. */
const libc = dlopen(null, {
  openpty: { arguments: ['pointer', 'pointer', 'pointer', 'pointer', 'pointer'], return: 'int32' },
  dup2: { arguments: ['int32', 'int32'], return: 'int32' },
  flock: { arguments: ['int32', 'int32'], return: 'int32' },
}).functions;

const INT_BYTES = 4;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Two file descriptors: what is written to `master` is what a reader of `slave` sees being typed. */
export const openTerminal = (): { master: number; slave: number } => {
  const fds = new Int32Array(2);
  const address = getRawPointer(fds);
  if (libc.openpty(address, address + BigInt(INT_BYTES), 0n, 0n, 0n) !== 0) {
    throw new Error('openpty failed: this machine has no free pseudo terminal');
  }
  return { master: fds[0] ?? -1, slave: fds[1] ?? -1 };
};

/** Makes `target` another name of the file that `fd` is. */
export const duplicateOnto = (fd: number, target: number): void => {
  if (libc.dup2(fd, target) !== target) throw new Error(`dup2(${fd}, ${target}) failed`);
};

/** True once this process holds the file exclusively; the kernel lets go of it when the process ends, however it ends. */
export const tryLockExclusively = (fd: number): boolean => libc.flock(fd, LOCK_EX | LOCK_NB) === 0;
