'use strict';

// The WebSocket of Chromium, which always offers permessage-deflate and sends long messages in fragments.

const { after } = require('node:test');
const { converse } = require('./clients/web.js');
const { PATIENCE, launch, reasonToSkip } = require('../support/chromium.js');
const { testClient } = require('../support/interop.js');

let browser;

testClient(
  'Chromium',
  async (task) => {
    browser ??= await launch();
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    // The page has the server's origin, so that it may fetch from there.
    await page.goto(`${task.httpUrl}/`);
    const events = await page.evaluate(`(${converse})(globalThis, ${JSON.stringify(task)})`);
    await page.close();
    return events;
  },
  { skip: reasonToSkip(), canRefuse: false },
);

after(() => browser?.close());
