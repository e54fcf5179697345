'use strict';

// Loads the addon for this platform. Its functions take slots and generations; the classes in this folder are made of
// them.

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const { fail } = require('./errors');

/** The C library that a Linux addon is linked to is part of its name; nothing else has a choice. */
function abi() {
  if (process.platform === 'win32') return '-msvc';
  if (process.platform !== 'linux') return '';
  return process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl';
}

function load() {
  const platform = `${process.platform}-${process.arch}${abi()}`;
  const file = join(__dirname, `milliways.${platform}.node`);
  if (!existsSync(file)) {
    fail(
      'ERR_MILLIWAYS_PLATFORM',
      `milliways has no addon for ${platform}: ${file} does not exist. ` +
        'In a clone of the repository `npm run build` makes it; from npm, this platform is not supported.',
    );
  }
  try {
    return require(file);
  } catch (cause) {
    return fail('ERR_MILLIWAYS_PLATFORM', `milliways could not load ${file}: ${cause.message}`, Error, { cause });
  }
}

module.exports = load();
