// The little statistics that the tables need. Nothing here supposes a distribution: rates on a busy machine have
// outliers on one side, which a mean and a standard deviation make too much of.

/** The middle value. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How far from the median the values reach, as a share of it. */
export function spread(values) {
  const middle = median(values);
  return Math.max(Math.max(...values) - middle, middle - Math.min(...values)) / middle;
}

/**
 * The median, and an interval around that of the distribution the values are from, from order statistics: it goes from
 * the k-th smallest to the k-th largest value, with the largest k that still covers `level`. `coverage` says how much it
 * does cover; with fewer than six values that is less than 95 %.
 */
export function medianInterval(values, level = 0.95) {
  const sorted = values.toSorted((a, b) => a - b);
  const n = sorted.length;
  // The interval misses when fewer than k of n values fall on one side of the true median: a fair coin, twice.
  let below = 0.5 ** n;
  let coverage = 1 - 2 * below;
  let k = 1;
  for (let term = below; k < n / 2; k += 1) {
    term *= (n - k + 1) / k;
    below += term;
    if (1 - 2 * below < level) break;
    coverage = 1 - 2 * below;
  }
  return { median: median(sorted), low: sorted[k - 1], high: sorted[n - k], coverage };
}

/** The interval of the ratio of two contenders that were measured in the same rounds, each round giving one ratio. */
export function ratioInterval(numerators, denominators) {
  return medianInterval(numerators.map((value, round) => value / denominators[round]));
}

/**
 * What a ratio says, where a contender divided by itself gives `floor`: `better` or `worse` only when the whole interval
 * lies beyond 1 and beyond all that noise alone has done.
 */
export function judge(ratio, floor, better) {
  const above = ratio.low > Math.max(1, floor.high);
  const below = ratio.high < Math.min(1, floor.low);
  if (!above && !below) return 'same';
  return above === (better === 'higher') ? 'better' : 'worse';
}
