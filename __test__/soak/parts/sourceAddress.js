'use strict';

let opened = 0;

/**
 * Returns a loopback address that only this process uses, a new one for every few hundred connections. The ports of an
 * address last for some 28,000 connections, including those of processes that have just ended, and finding a free port
 * takes longer and longer.
 */
module.exports = function sourceAddress() {
  opened += 1;
  return `127.${1 + ((process.pid >> 8) % 250)}.${process.pid & 255}.${1 + (Math.floor(opened / 300) % 250)}`;
};
