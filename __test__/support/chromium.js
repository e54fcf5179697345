'use strict';

// A real browser without a window. CHROMIUM_PATH names a Chromium other than Debian's.

const { existsSync } = require('node:fs');
const { overTLS } = require('./tls.js');

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // No option adds a trusted certificate.
  ...(overTLS ? ['--ignore-certificate-errors'] : []),
];
/** In milliseconds; a browser on a loaded machine is slow. */
const PATIENCE = 60_000;

/** Starts a browser with Playwright. */
function launch() {
  const { chromium } = require('playwright-core');
  return chromium.launch({ executablePath, args: ARGUMENTS, timeout: PATIENCE });
}

/** Returns why the tests with a browser have to be skipped, or false. */
function reasonToSkip() {
  if (!existsSync(executablePath)) return `there is no Chromium at ${executablePath}; CHROMIUM_PATH names another one`;
  try {
    require.resolve('playwright-core');
    return false;
  } catch {
    return 'playwright-core is not installed: run npm install';
  }
}

module.exports = { PATIENCE, launch, reasonToSkip };
