import { describe, expect, it } from 'vitest';
import { PartitionProgress } from './kafka-progress.ts';

const from = (offset: bigint): PartitionProgress => new PartitionProgress('t', 0, offset, () => true);

describe('what is due to be committed', () => {
  it('is nothing before anything is recorded', () => {
    const progress = from(5n);
    expect(progress.due).toBeUndefined();
    progress.begin(8n);
    expect(progress.due).toBeUndefined();
  });

  it('rises only over pieces that are all recorded', () => {
    const progress = from(0n);
    const [first, second, third] = [progress.begin(10n), progress.begin(20n), progress.begin(30n)] as const;
    second();
    expect(progress.due).toBeUndefined();
    first();
    expect(progress.due).toBe(20n);
    progress.committed(20n);
    expect(progress.due).toBeUndefined();
    third();
    expect(progress.due).toBe(30n);
  });

  it('is still due when less was committed meanwhile', () => {
    const progress = from(0n);
    const [first, second] = [progress.begin(10n), progress.begin(20n)] as const;
    first();
    second();
    progress.committed(10n);
    expect(progress.due).toBe(20n);
  });
});

describe('lag', () => {
  it('counts what is not committed, beyond the integers of floating point too', () => {
    const progress = from(9_007_199_254_740_993n);
    progress.end = 9_007_199_254_741_003n;
    expect(progress.lag).toBe(10);
    progress.begin(9_007_199_254_740_999n)();
    expect(progress.lag).toBe(10);
    progress.committed(9_007_199_254_740_999n);
    expect(progress.lag).toBe(4);
    progress.end = 0n;
    expect(progress.lag).toBe(0);
  });
});
