import { describe, expect, it } from 'vitest';
import { BodyPool } from './body-pool.ts';

describe('BodyPool', () => {
  it('gives a buffer back that was given', () => {
    const pool = new BodyPool(100, 2);
    const buffer = pool.take(10);
    expect(buffer.length).toBe(100);
    pool.give(buffer);
    expect(pool.take(100)).toBe(buffer);
  });

  it('never hands out a buffer that is in use', () => {
    const pool = new BodyPool(8, 2);
    const taken = Array.from({ length: 5 }, () => pool.take(8));
    expect(new Set(taken).size).toBe(5);
    for (const buffer of taken) pool.give(buffer);
    const again = Array.from({ length: 5 }, () => pool.take(8));
    expect(new Set(again).size).toBe(5);
    expect(again.filter((buffer) => taken.includes(buffer))).toHaveLength(2);
  });

  it('keeps no larger buffer and no part of one', () => {
    const pool = new BodyPool(8, 2);
    const large = pool.take(9);
    expect(large.length).toBe(9);
    pool.give(large);
    pool.give(pool.take(8).subarray(0, 4));
    expect(pool.take(1)).not.toBe(large);
    expect(pool.take(1).length).toBe(8);
  });
});
