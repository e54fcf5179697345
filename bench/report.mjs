// Tables and charts of a result that run.mjs wrote.

import { createRequire } from 'node:module';
import { METRICS, ROWS } from './rows.mjs';
import { judge, median, ratioInterval, spread } from './statistics.mjs';

const NAMES = { ours: 'milliways', uws: 'uWebSockets.js', ws: 'ws', node: 'node:http' };
const VERDICTS = {
  better: '**better**',
  same: 'no significant difference',
  worse: '**worse**',
  unknown: 'too few rounds',
  load: 'limited by the load generator',
};
/** The confidence level of the intervals. */
const LEVEL = 0.95;
/** The fraction of the time from which on a process counts as fully busy. */
const FULLY = 0.95;

/** Evaluates a metric for each row of a result that has it. */
function analyse(result, metric) {
  const rows = result.rows.filter(({ samples }) => samples.ours[0][metric] !== undefined);
  return rows.map((row) => {
    const values = Object.fromEntries(
      Object.entries(row.samples).map(([key, samples]) => [key, samples.map((sample) => sample[metric])]),
    );
    const other = ['ws', 'node'].find((name) => values[name] !== undefined);
    const ratio = ratioInterval(values.ours, values.uws);
    const floor = ratioInterval(values['uws-again'], values.uws);
    const verdict = judgeRow(row, metric, ratio, floor);
    return { row, values, other, ratio, floor, verdict, otherRatio: other && ratioInterval(values[other], values.uws) };
  });
}

function judgeRow({ samples }, metric, ratio, floor) {
  if (ratio.coverage < LEVEL) return 'unknown';
  // A rate describes a server only if the server is busy.
  if (
    metric === 'rate' &&
    [samples.ours, samples.uws].every((of) => busy(of, 'serverBusy') < FULLY && busy(of, 'loadBusy') > FULLY)
  ) {
    return 'load';
  }
  return judge(ratio, floor, METRICS[metric].better);
}

function busy(samples, key) {
  return median(samples.map((sample) => sample[key]));
}

/** Renders the tables, below a line that says how they were measured. `charts` is the folder of the charts to show. */
export function renderMarkdown(result, { charts } = {}) {
  const all = (key) => [...new Set(result.rows.map((row) => row[key]))].join(', ');
  const parts = [
    `${all('date')}; commit ${all('commit')}. Machine: ${result.machine}. All under Node ${result.node}. ` +
      `Peer: ${result.peer}. ${result.rounds} rounds${result.seconds ? `, ${result.seconds} s each` : ''}.`,
  ];
  if (!result.peerIsRight) {
    parts.push('**The recent binary of uWebSockets.js did not run on this machine: the figures are of an older one.**');
  }
  for (const [metric, { title, unit, better }] of Object.entries(METRICS)) {
    const rows = analyse(result, metric);
    if (rows.length === 0) continue;
    parts.push(`### ${title} (${unit}, ${better} is better)`);
    if (charts !== undefined) parts.push(`![${title}, relative to uWebSockets.js](${charts}/${metric}.svg)`);
    parts.push(renderTable(rows, metric, result));
  }
  const retained = retention(result);
  if (retained.length > 0) {
    parts.push(
      '### Rate over TLS, relative to the rate without TLS',
      table([
        ['', NAMES.ours, NAMES.uws],
        ...retained.map(({ title, ours, uws }) => [title, percent(ours), percent(uws)]),
      ]),
    );
  }
  return `${parts.join('\n\n')}\n`;
}

/** Returns the TLS rate relative to the plaintext rate, for each TLS row whose plaintext counterpart is there too. */
function retention(result) {
  const rows = new Map(result.rows.map((row) => [row.name, row]));
  const pairs = ROWS.filter(({ kind, clear }) => kind === 'load' && clear !== undefined)
    .map(({ name, clear }) => [rows.get(name), rows.get(clear)])
    .filter((pair) => pair.every((row) => row !== undefined));
  const rate = (row, contender) => median(row.samples[contender].map((sample) => sample.rate));
  return pairs.map(([secure, clear]) => ({
    title: clear.title,
    ours: rate(secure, 'ours') / rate(clear, 'ours'),
    uws: rate(secure, 'uws') / rate(clear, 'uws'),
  }));
}

function percent(part) {
  return `${Math.round(part * 100)} %`;
}

function renderTable(rows, metric, result) {
  const peer = result.peerIsRight ? NAMES.uws : `${NAMES.uws} (older binary)`;
  const others = [...new Set(rows.map(({ other }) => other).filter(Boolean))];
  const head = ['', NAMES.ours, peer, ...others.map((name) => NAMES[name])];
  head.push('milliways : uWebSockets.js', 'uWebSockets.js : itself', 'milliways is');
  if (metric === 'rate') head.push('busy: server, load');
  const lines = rows.map(({ row, values, ratio, floor, verdict }) => {
    const cells = [row.title, show(values.ours, metric), show(values.uws, metric)];
    cells.push(...others.map((name) => (values[name] ? show(values[name], metric) : '')));
    cells.push(showRatio(ratio), showRatio(floor), VERDICTS[verdict]);
    if (metric === 'rate') cells.push(`${showBusy(row, 'serverBusy')}, ${showBusy(row, 'loadBusy')}`);
    return cells;
  });
  return table([head, ...lines]);
}

function table([head, ...lines]) {
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [head, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Formats the median, and the largest distance of a value from it. */
function show(values, metric) {
  const { unit } = METRICS[metric];
  const number = `${showNumber(median(values))} ${unit}`.replace(' /s', '/s');
  return median(values) > 0 ? `${number} ± ${(spread(values) * 100).toFixed(1)} %` : number;
}

function showNumber(value) {
  if (value >= 1000) return Math.round(Number(value.toPrecision(4))).toLocaleString('en-US');
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function showRatio({ median: middle, low, high }) {
  return `${middle.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

/** Formats how busy our server or its load is, which shows what limits the rate. */
function showBusy({ samples }, key) {
  return `${Math.round(busy(samples.ours, key) * 100)} %`;
}

/** Renders an SVG for each metric: all contenders relative to uWebSockets.js, with the intervals. */
export function renderCharts(result) {
  const charts = {};
  for (const metric of Object.keys(METRICS)) {
    const rows = analyse(result, metric);
    if (rows.length > 0) charts[metric] = renderChart(rows, metric);
  }
  return charts;
}

const COLOURS = { ours: '#0b6e4f', uws: '#8d99ae', other: '#d9c5b2' };
const TEXT = '#333333';

function renderChart(rows, metric) {
  // Imported here, so that a result without charts can be rendered without the charting library.
  const echarts = createRequire(import.meta.url)('echarts');
  const { title, better } = METRICS[metric];
  const bars = [
    { name: NAMES.ours, colour: COLOURS.ours, intervals: rows.map(({ ratio }) => ratio) },
    { name: `${NAMES.uws}, a second time`, colour: COLOURS.uws, intervals: rows.map(({ floor }) => floor) },
    { name: 'ws, node:http', colour: COLOURS.other, intervals: rows.map(({ otherRatio }) => otherRatio) },
  ];
  const height = 110 + rows.length * 62;
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 860, height });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'sans-serif', color: TEXT },
    title: {
      text: `${title}: times that of uWebSockets.js (${better} is better)`,
      left: 12,
      top: 8,
      textStyle: { fontSize: 14 },
    },
    legend: { top: 34, left: 12, data: bars.map(({ name }) => name) },
    grid: { left: 290, right: 60, top: 70, bottom: 30 },
    xAxis: { type: 'value', min: 0, axisLabel: { formatter: '{value}×' } },
    yAxis: {
      type: 'category',
      inverse: true,
      data: rows.map(({ row }) => row.title.replaceAll('`', '')),
      axisTick: { show: false },
    },
    series: bars.flatMap((bar, index) => [barSeries(bar), whiskerSeries(bar, index, bars.length)]),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

function barSeries({ name, colour, intervals }) {
  return {
    name,
    type: 'bar',
    itemStyle: { color: colour },
    data: intervals.map((interval) => (interval ? Number(interval.median.toPrecision(4)) : null)),
    label: {
      show: true,
      position: 'insideLeft',
      formatter: ({ value }) => (value ? value.toFixed(2) : ''),
      color: '#ffffff',
      textBorderColor: TEXT,
      textBorderWidth: 2,
      fontSize: 10,
    },
    barGap: '10%',
    barCategoryGap: '25%',
  };
}

/** Draws lines from the lower to the upper end of each interval, on the bars of the previous series. */
function whiskerSeries({ intervals }, index, count) {
  return {
    type: 'custom',
    silent: true,
    z: 5,
    data: intervals.flatMap((interval, row) => (interval ? [[interval.low, interval.high, row]] : [])),
    encode: { x: [0, 1], y: 2 },
    renderItem(_params, api) {
      const layout = api.barLayout({ barGap: '10%', barCategoryGap: '25%', count })[index];
      const [x1, y] = api.coord([api.value(0), api.value(2)]);
      const [x2] = api.coord([api.value(1), api.value(2)]);
      const middle = y + layout.offsetCenter;
      const line = (shape) => ({ type: 'line', shape, style: { stroke: TEXT, lineWidth: 1 } });
      return {
        type: 'group',
        children: [
          line({ x1, y1: middle, x2, y2: middle }),
          line({ x1, y1: middle - 4, x2: x1, y2: middle + 4 }),
          line({ x1: x2, y1: middle - 4, x2, y2: middle + 4 }),
        ],
      };
    },
  };
}
