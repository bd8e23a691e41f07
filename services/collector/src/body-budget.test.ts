import { Problem } from '@agent-audit/shared';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from './body-budget.ts';

function refusal(run: () => void): Problem {
  try {
    run();
  } catch (error) {
    return error as Problem;
  }
  throw new Error('it was not refused');
}

describe('BodyBudget', () => {
  it('is shared by all bodies, and refuses what is beyond it for now', () => {
    const budget = new BodyBudget(100);
    const [a, b] = [budget.share(), budget.share()];
    a.grow(60);
    b.grow(40);
    const problem = refusal(() => a.grow(1));
    expect(problem).toMatchObject({ code: 'unavailable', status: 503, headers: { 'retry-after': '1', connection: 'close' } });
    a.release();
    b.grow(60);
    expect(budget.held).toBe(100);
    b.release();
    b.release();
    expect(budget.held).toBe(0);
  });

  it('never refuses a body that is alone', () => {
    const budget = new BodyBudget(10);
    const alone = budget.share();
    alone.grow(8);
    alone.grow(800);
    expect(budget.held).toBe(808);
    expect(refusal(() => budget.share().grow(1)).code).toBe('unavailable');
    alone.release();
    budget.share().grow(1);
  });
});
