'use strict';

let hasWarned = false;

/** Says once a process that a response was written to outside of a cork. */
function warnUncorked() {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(
    'uWS.HttpResponse writes must be made from within a corked callback. ' +
      'See documentation for uWS.HttpResponse.cork and consult the user manual.',
    { code: 'WARN_MILLIWAYS_UNCORKED' },
  );
}

module.exports = { warnUncorked };
