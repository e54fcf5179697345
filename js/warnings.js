'use strict';

const given = new Set();

/** Emits a warning once per process. */
function warn(code, message) {
  if (given.has(code)) return;
  given.add(code);
  process.emitWarning(message, { code });
}

/** Warns that a response was written to outside a cork. */
function warnUncorked() {
  warn(
    'WARN_MILLIWAYS_UNCORKED',
    'uWS.HttpResponse writes must be made from within a corked callback. ' +
      'See documentation for uWS.HttpResponse.cork and consult the user manual.',
  );
}

/** Warns that an `onWritable` handler did not return whether it wrote everything. */
function warnWritable() {
  warn(
    'WARN_MILLIWAYS_WRITABLE',
    'onWritable handlers must return true if everything was written, or false if something is left to write.',
  );
}

/** Warns that routes were registered for one domain on an app without TLS. */
function warnDomain(hostname) {
  warn(
    'WARN_MILLIWAYS_DOMAIN',
    `An App without TLS does not know which domain a client asks for: the routes for '${String(hostname)}' apply to all domains.`,
  );
}

/** Warns about parameters for a key exchange that is not supported. */
function warnDhParams() {
  warn(
    'WARN_MILLIWAYS_DH_PARAMS',
    'dh_params_file_name has no effect: keys are exchanged with elliptic curves, never with finite-field Diffie-Hellman.',
  );
}

module.exports = { warnDhParams, warnDomain, warnUncorked, warnWritable };
