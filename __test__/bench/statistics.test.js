'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');

const statistics = import('../../bench/statistics.mjs');

describe('the statistics of the benchmarks', () => {
  it('give the middle of an odd and of an even number of values, in any order', async () => {
    const { median } = await statistics;
    assert.equal(median([5, 1, 3]), 3);
    assert.equal(median([4, 1, 3, 100]), 3.5);
  });

  it('give the spread as the furthest value from the median', async () => {
    const { spread } = await statistics;
    assert.equal(spread([90, 100, 105]), 0.1);
    assert.equal(spread([7]), 0);
  });

  // From tables of the sign test: n, k, and the coverage of the interval from the k-th smallest to the k-th largest
  // value.
  for (const [n, k, coverage] of [
    [1, 1, 0],
    [5, 1, 0.9375],
    [6, 1, 0.96875],
    [8, 1, 0.9921875],
    [9, 2, 0.9609375],
    [10, 2, 0.978515625],
    [12, 3, 0.96142578125],
    [20, 6, 0.9586105346679688],
  ]) {
    it(`take the interval of ${n} values from number ${k} to number ${n + 1 - k}`, async () => {
      const { medianInterval } = await statistics;
      const values = Array.from({ length: n }, (_, index) => index + 1).reverse();
      const interval = medianInterval(values);
      assert.deepEqual([interval.low, interval.high], [k, n + 1 - k]);
      assert.ok(Math.abs(interval.coverage - coverage) < 1e-9, `${interval.coverage}`);
    });
  }

  it('divide what was measured in the same round', async () => {
    const { ratioInterval } = await statistics;
    // In the second round the machine was twice as slow for both.
    assert.deepEqual(ratioInterval([200, 100], [100, 50]), { median: 2, low: 2, high: 2, coverage: 0.5 });
  });

  it('see a difference only beyond 1 and beyond the noise', async () => {
    const { judge } = await statistics;
    const floor = { low: 0.97, high: 1.02 };
    assert.equal(judge({ low: 1.03, high: 1.1 }, floor, 'higher'), 'better');
    assert.equal(judge({ low: 1.03, high: 1.1 }, floor, 'lower'), 'worse');
    assert.equal(judge({ low: 0.8, high: 0.96 }, floor, 'higher'), 'worse');
    assert.equal(judge({ low: 0.8, high: 0.96 }, floor, 'lower'), 'better');
    assert.equal(judge({ low: 1.01, high: 1.1 }, floor, 'higher'), 'same');
    assert.equal(judge({ low: 0.9, high: 0.98 }, floor, 'higher'), 'same');
    // A floor that lies entirely beyond 1 must not turn noise into a difference.
    assert.equal(judge({ low: 0.99, high: 1.05 }, { low: 0.9, high: 0.95 }, 'higher'), 'same');
    assert.equal(judge({ low: NaN, high: NaN }, floor, 'higher'), 'same');
  });
});
