// A reporter for node:test that writes a line for every skipped test and nothing else. scripts/test.mjs runs it beside
// the one that people read: the closing count of skipped tests says how many, not which and why.

import path from 'node:path';

export default async function* skippedTests(events) {
  for await (const { type, data } of events) {
    // `skip` is the reason, or true or '' where none was given.
    if (type !== 'test:pass' || data.skip === undefined || data.skip === false) continue;
    const place = data.file ? `${path.relative(process.cwd(), data.file)}: ` : '';
    const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
    yield `${place}${data.name}${reason}\n`;
  }
}
