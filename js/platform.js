'use strict';

/** Whether this is a Linux whose C library is musl; a binary for glibc does not load there, nor the other way round. */
function isMusl() {
  if (process.platform !== 'linux') return false;
  const { report } = process;
  // The report would otherwise resolve the names of all open connections first.
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  try {
    return !report.getReport().header.glibcVersionRuntime;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** The addon's file, after the names that napi-rs gives platforms. */
function addonName() {
  const { platform, arch } = process;
  let abi = '';
  if (platform === 'linux') abi = isMusl() ? '-musl' : '-gnu';
  if (platform === 'win32') abi = '-msvc';
  return `milliways.${platform}-${arch}${abi}.node`;
}

module.exports = { addonName, isMusl };
