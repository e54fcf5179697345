'use strict';

const given = new Set();

/** Says something once a process. */
function warn(code, message) {
  if (given.has(code)) return;
  given.add(code);
  process.emitWarning(message, { code });
}

/** A response was written to outside of a cork. */
function warnUncorked() {
  warn(
    'WARN_MILLIWAYS_UNCORKED',
    'uWS.HttpResponse writes must be made from within a corked callback. ' +
      'See documentation for uWS.HttpResponse.cork and consult the user manual.',
  );
}

/** An `onWritable` handler did not say whether it has written what there was. */
function warnWritable() {
  warn(
    'WARN_MILLIWAYS_WRITABLE',
    'onWritable handlers must return true for success, or false when something is still to be written.',
  );
}

/** Routes were to be for one domain, on an app without TLS. */
function warnDomain(hostname) {
  warn(
    'WARN_MILLIWAYS_DOMAIN',
    `An App without TLS does not know which domain a client asks for: the routes of '${hostname}' are those of all.`,
  );
}

/** Parameters for a key exchange that there is not. */
function warnDhParams() {
  warn(
    'WARN_MILLIWAYS_DH_PARAMS',
    'dh_params_file_name has no effect: keys are exchanged by elliptic curves, never by finite-field Diffie-Hellman.',
  );
}

module.exports = { warnDhParams, warnDomain, warnUncorked, warnWritable };
