'use strict';

const { define } = require('./define');

const given = new Set();

/**
 * Emits a warning once per process. With --trace-warnings, Node shows the stack of this call, or that of `origin`, an
 * Error, if it is known.
 */
function warn(code, message, origin = undefined) {
  if (given.has(code)) return;
  given.add(code);
  if (origin === undefined) process.emitWarning(message, { code });
  else process.emitWarning(warningAt(origin, code, message));
}

/** Returns a warning with the stack of an Error. */
function warningAt(origin, code, message) {
  const name = 'Warning';
  const frames = origin.stack.slice(origin.stack.indexOf('\n'));
  const warning = new Error(message);
  const properties = { name, code, stack: `${name}: ${message}${frames}` };
  for (const [key, value] of Object.entries(properties)) define(warning, key, value);
  return warning;
}

/**
 * Returns the current stack, as an Error, if a warning that is emitted later is to show it: with --trace-warnings. To
 * ask for a stack takes microseconds.
 */
function originOfLater(code) {
  return process.traceProcessWarnings && !given.has(code) ? new Error() : undefined;
}

/** Warns that a response was written to outside a cork. */
function warnUncorked() {
  warn(
    'WARN_MILLIWAYS_UNCORKED',
    'uWS.HttpResponse writes must be made from within a corked callback. ' +
      'See documentation for uWS.HttpResponse.cork and consult the user manual.',
  );
}

const WRITABLE = 'WARN_MILLIWAYS_WRITABLE';

/** Returns the origin of a warning about an `onWritable` handler, for the call that attaches the handler. */
function originOfWritable() {
  return originOfLater(WRITABLE);
}

/**
 * Warns that an `onWritable` handler did not return whether it wrote everything. The handler has returned, so the
 * program's line is that of its `origin`.
 */
function warnWritable(origin) {
  warn(
    WRITABLE,
    'onWritable handlers must return true if everything was written, or false if something is left to write.',
    origin,
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

/** Warns, while the module is being loaded, about a category in MILLIWAYS_DEBUG that does not exist. */
function warnDebug(category, known) {
  warn(
    'WARN_MILLIWAYS_DEBUG',
    `MILLIWAYS_DEBUG has no category '${category}'. Its categories are ${known.join(', ')}, separated by commas.`,
    wholeStack(),
  );
}

/** Returns the current stack to its end. The program that loads the module is far down. */
function wholeStack() {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = Infinity;
  try {
    return new Error();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

module.exports = { originOfWritable, warnDebug, warnDhParams, warnDomain, warnUncorked, warnWritable };
