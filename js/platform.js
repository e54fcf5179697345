'use strict';

/**
 * Whether this is Linux with musl as its C library, where a glibc binary does not load (nor a musl binary with glibc).
 */
function isMusl() {
  if (process.platform !== 'linux') return false;
  const { report } = process;
  // Without this, the report would resolve the host names of all open connections first.
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  try {
    return !report.getReport().header.glibcVersionRuntime;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** Returns the addon's file name, with napi-rs's name for the platform. */
function addonName() {
  const { platform, arch } = process;
  let abi = '';
  if (platform === 'linux') abi = isMusl() ? '-musl' : '-gnu';
  if (platform === 'win32') abi = '-msvc';
  return `milliways.${platform}-${arch}${abi}.node`;
}

module.exports = { addonName, isMusl };
