import { expect, it } from 'vitest';
import { describeWithKafka } from '../support/kafka-shared.ts';
import { runKafkaStorm } from './kafka-storm.ts';

describeWithKafka('members that come and go while a broker dies', () => {
  it('lose nothing and double nothing', async () => {
    const { verdict, produced, rebalances_seen: seen } = await runKafkaStorm({ rebalances: 3, restarts: 1, seed: 71 });
    expect(produced).toBeGreaterThan(0);
    expect(seen).toBeGreaterThanOrEqual(3);
    expect(verdict).toEqual({ lost: [], repeated: [], altered: [], invented: [], miscounted: [] });
  });
});
