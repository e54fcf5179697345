'use strict';

const { domainToASCII, domainToUnicode } = require('node:url');
const { types } = require('node:util');
const { fail } = require('./errors');

/** A name that can be in a host name of IDNA before it is in its form of ASCII (RFC 5890): nothing that has a meaning in URLs. */
// eslint-disable-next-line no-control-regex -- ASCII begins with 0
const IS_WORTH_CONVERTING = /^(?:[\w.-]|[^\x00-\x7f])*$/;
const HAS_A_LABEL = /(?:^|\.)xn--/i;

/** The longest name that is shown in an error; what is longer is no name. */
const LONGEST_NAME = 253;

/**
 * A host name as clients ask for it: labels that are not ASCII in their form of IDNA (RFC 5891 section 4, by the rules of UTS
 * #46 that browsers follow). Whatever else is wrong with it is left to the addon.
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

/** The same for a name that is only looked for: one that cannot be is not there. */
function toKnownHostname(hostname) {
  const name = textOf(hostname);
  return name === undefined ? hostname : (convert(name) ?? name);
}

/** `undefined` for what is neither text nor bytes, or has none. */
function textOf(value) {
  if (typeof value === 'string') return value;
  if (value?.byteLength === 0) return undefined;
  if (types.isAnyArrayBuffer(value)) return Buffer.from(value).toString();
  if (types.isTypedArray(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  return undefined;
}

/** `undefined` for what IDNA forbids. */
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

/** Whether a label is none of IDNA, or what IDNA makes of one. */
function isLabel(label) {
  if (!label.startsWith('xn--')) return true;
  // Of one that is damaged some versions of Node give nothing, and others the label itself.
  const unicode = domainToUnicode(label);
  return unicode !== '' && unicode !== label && domainToASCII(unicode) === label;
}

module.exports = { toHostname, toKnownHostname };
