'use strict';

const { domainToASCII, domainToUnicode } = require('node:url');
const { types } = require('node:util');
const { fail } = require('./errors');

/**
 * Matches a name that may be a host name before its conversion to an A-label (RFC 5890): it has no character with a
 * meaning in URLs.
 */
// eslint-disable-next-line no-control-regex -- ASCII begins with 0
const IS_WORTH_CONVERTING = /^(?:[\w.-]|[^\x00-\x7f])*$/;
const HAS_A_LABEL = /(?:^|\.)xn--/i;

/** The longest name shown in an error, in characters. A longer one is not a host name. */
const LONGEST_NAME = 253;

/**
 * Returns a host name as clients ask for it: with U-labels converted to A-labels (RFC 5891 section 4, under the rules
 * of UTS #46 that browsers follow). The addon detects all other mistakes.
 */
function toHostname(hostname) {
  const name = textOf(hostname);
  if (name === undefined) return hostname;
  const ascii = convert(name);
  if (ascii !== undefined) return ascii;
  const shown = name.length <= LONGEST_NAME ? ` ${JSON.stringify(name)}` : '';
  fail(
    'ERR_MILLIWAYS_INVALID_SERVER_NAME',
    `The server name${shown} is not allowed by IDNA (RFC 5891): it cannot be converted to the form that clients ask for.`,
  );
}

/**
 * Does the same for a name that is only looked up. A name that IDNA forbids is returned unchanged, and will not be
 * found.
 */
function toKnownHostname(hostname) {
  const name = textOf(hostname);
  return name === undefined ? hostname : (convert(name) ?? name);
}

/** Returns the text of a string or of bytes, or `undefined` for any other value and for empty bytes. */
function textOf(value) {
  if (typeof value === 'string') return value;
  if (value?.byteLength === 0) return undefined;
  if (types.isAnyArrayBuffer(value)) return Buffer.from(value).toString();
  if (types.isTypedArray(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  return undefined;
}

/** Returns `undefined` for a name that IDNA forbids. */
function convert(name) {
  const wildcard = name.startsWith('*.') ? '*.' : '';
  const rest = name.slice(wildcard.length);
  if (!IS_WORTH_CONVERTING.test(rest)) return name;
  let ascii = rest;
  if (!/^[\w.-]*$/.test(rest)) {
    ascii = domainToASCII(rest);
    if (ascii === '') return undefined;
  }
  if (HAS_A_LABEL.test(ascii) && !ascii.toLowerCase().split('.').every(isLabel)) return undefined;
  return wildcard + ascii;
}

/** Whether a label is an ordinary label or a valid A-label (RFC 5890). */
function isLabel(label) {
  if (!label.startsWith('xn--')) return true;
  // Depending on its version, Node returns '' or the label itself for a malformed A-label.
  const unicode = domainToUnicode(label);
  return unicode !== '' && unicode !== label && domainToASCII(unicode) === label;
}

module.exports = { toHostname, toKnownHostname };
