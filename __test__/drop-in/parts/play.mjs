// Plays a scenario against a program: starts its server, runs the steps, ends the server.

import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import support from '../../support/wait.js';
import { Server } from './Server.mjs';

const { deadline } = support;

/** For one step, in milliseconds. */
const PATIENCE = 60_000;

/**
 * The argument of a step.
 *
 * @typedef {object} Stage
 * @property {Server} server the program
 * @property {(name: string) => any} use loads a package that is installed with the program, for its clients
 */

/**
 * Runs the steps one after another; returns for each what it returned (`value`) or how it failed (`error`), and for the
 * server how it ended. All of it is JSON, so that the results with milliways and with uWebSockets.js can be compared.
 *
 * @param {{ name: string, folder: string, command: string[], steps: Record<string, (stage: Stage) => any> }} play
 */
export async function play({ name, folder, command, steps }) {
  const require = createRequire(path.join(folder, 'package.json'));
  const server = await Server.start(folder, command);
  const use = async (wanted) => {
    const module = await import(pathToFileURL(require.resolve(wanted)));
    return module.default ?? module;
  };
  const seen = {};
  try {
    for (const [step, take] of Object.entries(steps)) {
      try {
        const value = await deadline(Promise.resolve(take({ server, use })), `end of '${step}' of ${name}`, PATIENCE);
        seen[step] = { value: JSON.parse(JSON.stringify(value ?? null)) };
      } catch (error) {
        seen[step] = { error: error.stack };
      }
      if (server.hasEnded) break;
    }
  } finally {
    seen['the server ends by itself when it is told to, and has complained of nothing'] = await server.end();
  }
  return seen;
}
