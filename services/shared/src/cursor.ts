import { hash } from 'node:crypto';
import { Problem } from './problem.ts';
import { z } from 'zod';

/**
 * Cursors say where a page ended, and for which question: tenant, route, window, filters and order. One that was
 * changed, or is sent with another question, is refused rather than answered with something that looks right.
 *
 * A cursor grants nothing. The tenant of a query always comes from the key, so the digest guards against
 * mistakes; it is no secret.
 *
 * @param question whatever must be the same on the next page; compared as JSON
 */
export function encodeCursor(question: unknown, position: unknown): string {
  const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
  return `${payload}.${seal(question, payload)}`;
}

/** @throws Problem `invalid_cursor` */
export function decodeCursor<Position>(question: unknown, cursor: string, shape: z.ZodType<Position>): Position {
  const dot = cursor.indexOf('.');
  const payload = cursor.slice(0, Math.max(dot, 0));
  if (cursor.slice(dot + 1) !== seal(question, payload)) throw invalidCursor();
  const position = shape.safeParse(parse(payload));
  if (!position.success) throw invalidCursor();
  return position.data;
}

/** The seal is no secret, so what it seals may still be anything. */
function parse(payload: string): unknown {
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    throw invalidCursor();
  }
}

function seal(question: unknown, payload: string): string {
  return hash('sha256', `${JSON.stringify(question)}\n${payload}`, 'base64url').slice(0, 22);
}

function invalidCursor(): Problem {
  return new Problem(
    'invalid_cursor',
    'This cursor does not belong to this question. Send `next_cursor` of the answer before, unchanged, with the same path and parameters.',
  );
}
