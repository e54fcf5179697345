'use strict';

/** Parses text for Prometheus, as far as milliways writes it. */
function parse(text) {
  const series = {};
  const metrics = [];
  let metric;
  for (const line of text.split('\n').filter(Boolean)) {
    const [, comment, name, rest] = /^# (HELP|TYPE) (\w+) (.*)$/.exec(line) ?? [];
    if (comment === 'HELP') {
      metric = { metric: name, help: rest, labels: [] };
      metrics.push(metric);
    } else if (comment === 'TYPE') {
      metric.type = rest;
    } else {
      const [, key, number] = /^(.*) (\d+)$/.exec(line);
      series[key] = Number(number);
      metric.labels = [...key.matchAll(/(\w+)="/g)].map(([, label]) => label);
    }
  }
  return { series, metrics };
}

module.exports = { parse };
