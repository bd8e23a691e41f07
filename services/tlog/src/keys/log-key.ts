export interface LogKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** When it was made, or first given to this collector: RFC 3339, UTC, milliseconds. */
  readonly createdAt: string;
  /** When it stops signing, likewise; undefined: not decided. */
  readonly retiresAt: string | undefined;
  /** 64 bytes: the signature by a key before it over `endorsementText`. */
  readonly endorsement: Uint8Array | undefined;
  readonly source: KeySource;
}

export type KeySource = 'folder' | 'file' | 'command';

/** What signs with a key, wherever its private part is. */
export interface KeySigner {
  readonly publicKey: Uint8Array;
  readonly source: KeySource;
  /** @returns 64 bytes, Ed25519 over the UTF-8 of the text @throws LogKeyError */
  sign(text: string): Promise<Uint8Array>;
}

export type LogKeyErrorCode =
  /** Others may read a private key. */
  | 'log_key_permissions'
  /** A file is not what it has to be. */
  | 'log_key_unreadable'
  /** The private part of the key in force is gone. */
  | 'log_key_missing'
  /** No key can sign now. */
  | 'log_key_cannot_sign'
  /** The key is made elsewhere. */
  | 'log_key_not_ours'
  /** A setting is not what it has to be. */
  | 'log_key_setting';

export class LogKeyError extends Error {
  override readonly name = 'LogKeyError';
  readonly code: LogKeyErrorCode;

  /** @param message never holds a private key */
  constructor(code: LogKeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
