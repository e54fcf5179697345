// The statistics that the tables need. None assumes a distribution: rates on a busy machine have outliers on one side,
// which weigh too much in a mean and a standard deviation.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Returns the largest distance of a value from the median, as a fraction of the median. */
export function spread(values) {
  const middle = median(values);
  return Math.max(Math.max(...values) - middle, middle - Math.min(...values)) / middle;
}

/**
 * Returns the median, and a confidence interval for the median of the underlying distribution, from order statistics:
 * it extends from the k-th smallest to the k-th largest value, for the largest k that still covers `level`. `coverage`
 * is the actual confidence; with fewer than six values it is below 95 %.
 */
export function medianInterval(values, level = 0.95) {
  const sorted = values.toSorted((a, b) => a - b);
  const n = sorted.length;
  // The interval misses if fewer than k of the n values lie on one side of the true median: a fair coin, two-sided.
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

/** Returns the interval of the ratio of two contenders measured in the same rounds; each round yields one ratio. */
export function ratioInterval(numerators, denominators) {
  return medianInterval(numerators.map((value, round) => value / denominators[round]));
}

/**
 * Judges a ratio, given the ratio `floor` of a contender to itself: `better` or `worse` only if the whole interval lies
 * beyond 1 and beyond everything that noise alone has caused.
 */
export function judge(ratio, floor, better) {
  const above = ratio.low > Math.max(1, floor.high);
  const below = ratio.high < Math.min(1, floor.low);
  if (!above && !below) return 'same';
  return above === (better === 'higher') ? 'better' : 'worse';
}
