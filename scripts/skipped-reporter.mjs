// A reporter for node:test that writes one line for each skipped test and nothing else. scripts/test.mjs runs it beside
// the main reporter, whose summary says how many tests were skipped, but not which or why.

import path from 'node:path';

export default async function* skippedTests(events) {
  for await (const { type, data } of events) {
    // `skip` is the reason, or true or '' if none was given.
    if (type !== 'test:pass' || data.skip === undefined || data.skip === false) continue;
    const place = data.file ? `${path.relative(process.cwd(), data.file)}: ` : '';
    const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
    yield `${place}${data.name}${reason}\n`;
  }
}
