'use strict';

// Loads the addon for this platform. Its functions take slots and generations; the classes in this folder wrap them.

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const { fail } = require('./errors');
const { addonName } = require('./platform');

function load() {
  const file = join(__dirname, addonName());
  if (!existsSync(file)) {
    fail(
      'ERR_MILLIWAYS_PLATFORM',
      `milliways has no addon for this platform: ${file} does not exist. ` +
        'In a clone of the repository, run `npm run build`; the package from npm does not support this platform.',
    );
  }
  try {
    return require(file);
  } catch (cause) {
    return fail('ERR_MILLIWAYS_PLATFORM', `milliways could not load ${file}: ${cause.message}`, Error, { cause });
  }
}

module.exports = load();
