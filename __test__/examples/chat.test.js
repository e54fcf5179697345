'use strict';

// The chat, by itself and with its page in two browsers.

const assert = require('node:assert/strict');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const { PATIENCE, launch, reasonToSkip } = require('../support/chromium.js');
const { ours, root } = require('../support/uws.js');
const { Client } = require('./Client.js');
const { Example } = require('./Example.js');

describe('Chat', ours, () => {
  /** Joins a room, and returns the client and its welcome. */
  async function join(t, example, room, name) {
    const client = await Client.open(t, `${example.webSocketUrl}/${room}`);
    const { welcome } = await client.ask({ name });
    return { client, welcome };
  }

  it('tells everybody in a room who comes, what is said, and who leaves', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const arthur = await join(t, example, 'lobby', 'Arthur');
    assert.deepEqual(arthur.welcome, { names: ['Arthur'], history: [] });
    const ford = await join(t, example, 'lobby', 'Ford P.');
    assert.deepEqual(ford.welcome, { names: ['Arthur', 'Ford P.'], history: [] });
    assert.deepEqual(await arthur.client.next(), { joined: 'Ford P.' });

    ford.client.send({ text: 'Drink up.' });
    arthur.client.send({ text: '\u{1f37a}' });
    const heard = [await arthur.client.next(), await arthur.client.next()];
    assert.deepEqual(heard.map(({ said }) => said.text).sort(), ['Drink up.', '\u{1f37a}']);
    assert.deepEqual([await ford.client.next(), await ford.client.next()], heard, 'in the same order for all');

    ford.client.close(1000);
    assert.deepEqual(await arthur.client.next(), { left: 'Ford P.' });
    const again = await join(t, example, 'lobby', 'Ford P.');
    assert.deepEqual(again.welcome, { names: ['Arthur', 'Ford P.'], history: heard.map(({ said }) => said) });
    assert.deepEqual(await arthur.client.next(), { joined: 'Ford P.' });
    again.client.terminate();
    assert.deepEqual(await arthur.client.next(), { left: 'Ford P.' });
    assert.equal(example.stderr, '');
  });

  it('keeps rooms apart, and forgets those that are empty', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const kitchen = await join(t, example, 'kitchen', 'Arthur');
    const bridge = await join(t, example, 'bridge', 'Arthur');
    const zaphod = await join(t, example, 'bridge', 'Zaphod');
    assert.deepEqual(await bridge.client.next(), { joined: 'Zaphod' });
    await bridge.client.ask({ text: 'Where is the tea?' });
    // A message from the bridge would have come first.
    assert.deepEqual(await kitchen.client.ask({ text: 'Here.' }), { said: { name: 'Arthur', text: 'Here.' } });

    bridge.client.close();
    assert.deepEqual(await zaphod.client.next(), { said: { name: 'Arthur', text: 'Where is the tea?' } });
    assert.deepEqual(await zaphod.client.next(), { left: 'Arthur' });
    zaphod.client.close();
    await zaphod.client.closed();
    assert.deepEqual((await join(t, example, 'bridge', 'Trillian')).welcome, { names: ['Trillian'], history: [] });
  });

  it('keeps the last twenty messages', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const { client } = await join(t, example, 'lobby', 'Marvin');
    for (let i = 0; i < 25; i += 1) await client.ask({ text: `Dreadful ${i}` });
    const { welcome } = await join(t, example, 'lobby', 'Arthur');
    assert.deepEqual(
      welcome.history,
      Array.from({ length: 20 }, (_, i) => ({ name: 'Marvin', text: `Dreadful ${i + 5}` })),
    );
  });

  it('answers what it does not take with an error, and goes on', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const client = await Client.open(t, `${example.webSocketUrl}/lobby`);
    for (const name of [undefined, null, 5, ['Arthur'], '', ' ', ' Arthur', 'Arthur\n', 'a\nb', 'x'.repeat(21)]) {
      assert.match((await client.ask({ name })).error, /^A name has/, JSON.stringify(name));
    }
    for (const nonsense of ['', '{', 'null', '"name"', Buffer.of(0xff), { text: 'too early' }]) {
      assert.match((await client.ask(nonsense)).error, /^A name has/, JSON.stringify(nonsense));
    }
    await join(t, example, 'lobby', 'Arthur');
    assert.deepEqual(await client.ask({ name: 'Arthur' }), { error: 'The name Arthur is taken.' });
    assert.deepEqual((await client.ask({ name: '\u{1f99c}'.repeat(20) })).welcome.names.length, 2);
    for (const text of [undefined, null, 5, '', ' \n', 'x'.repeat(1001)]) {
      assert.match((await client.ask({ text })).error, /^A message has/, JSON.stringify(text));
    }
    // No other text of this length is longer as JSON.
    const text = '\0'.repeat(1000);
    assert.equal((await client.ask({ text })).said.text, text);
    client.send({ text: 'x'.repeat(8 * 1024) });
    assert.equal((await client.closed())[0], 1009);
    assert.equal(example.stderr, '');
  });

  it('serves its page in every room, and nothing else', async (t) => {
    const { url, webSocketUrl } = await Example.start(t, 'Chat.js');
    const response = await fetch(url);
    assert.deepEqual([response.status, response.url], [200, `${url}/lobby`]);
    assert.equal((await fetch(`${url}/?a=b%20c`)).url, `${url}/lobby?a=b%20c`);
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.match(await response.text(), /^<!doctype html>/);
    for (const other of ['/favicon.ico', '/a%20b', `/${'x'.repeat(33)}`, '/kitchen/table']) {
      assert.equal((await fetch(url + other)).status, 404, other);
      await assert.rejects(Client.open(t, webSocketUrl + other), /404/, other);
    }
  });
});

describe('the page of Chat', { ...ours, skip: ours.skip ?? reasonToSkip() }, () => {
  let browser;

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  /** Opens the chat in a browser context of its own, which to pages is a separate browser. */
  async function openTab(t, example) {
    const context = await browser.newContext({ viewport: { width: 480, height: 480 } });
    t.after(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const errors = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(example.url);
    const submit = async (text) => {
      await page.fill('input', text);
      await page.press('input', 'Enter');
    };
    return {
      context,
      page,
      errors,
      join: async (name) => {
        await submit(name);
        await page.getByRole('button', { name: 'Say' }).waitFor();
      },
      submit,
      /** Returns the visible lines once the last one is there. */
      log: async (last) => {
        await page.locator('#log').getByText(last, { exact: true }).last().waitFor();
        return page.locator('#log li').allTextContents();
      },
      text: (selector) => page.textContent(selector),
    };
  }

  it('lets two chat with each other', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const arthur = await openTab(t, example);
    assert.equal(await arthur.page.title(), 'lobby');
    await arthur.join('Arthur');
    await arthur.submit('Is anybody there?');
    await arthur.log('Arthur: Is anybody there?');

    const ford = await openTab(t, example);
    await ford.submit('Arthur');
    await ford.page.getByText('The name Arthur is taken.').waitFor();
    await ford.join('Ford');
    assert.equal(await ford.text('#error'), '');
    assert.equal(await ford.text('#names'), 'Here: Arthur, Ford');
    assert.deepEqual(await ford.log('Arthur: Is anybody there?'), ['Arthur: Is anybody there?']);
    assert.deepEqual(await arthur.log('Ford joined'), ['Arthur: Is anybody there?', 'Ford joined']);

    // HTML is shown as text, not interpreted.
    const html = '<img src=x onerror="document.title = 1"> & <b>bold</b>';
    await ford.submit(html);
    await arthur.log(`Ford: ${html}`);
    await arthur.submit('So long!');
    const said = ['Arthur: Is anybody there?', `Ford: ${html}`, 'Arthur: So long!'];
    assert.deepEqual(await ford.log('Arthur: So long!'), said);
    assert.deepEqual(await arthur.log('Arthur: So long!'), [said[0], 'Ford joined', ...said.slice(1)]);
    for (const { page } of [arthur, ford]) {
      assert.equal(await page.title(), 'lobby');
      assert.equal(await page.locator('#log img').count(), 0);
    }
    await arthur.page.screenshot({ path: path.join(root, 'target', 'screenshots', 'chat.png') });

    await ford.context.close();
    assert.equal((await arthur.log('Ford left')).at(-1), 'Ford left');
    assert.equal(await arthur.text('#names'), 'Here: Arthur');
    assert.deepEqual([arthur.errors, ford.errors], [[], []]);
    assert.equal(example.stderr, '');
  });

  it('says so when the server has gone', async (t) => {
    const example = await Example.start(t, 'Chat.js');
    const { page, join } = await openTab(t, example);
    await join('Arthur');
    example.kill('SIGKILL');
    await page.getByText('Disconnected.').waitFor();
    assert.ok(await page.getByRole('button', { name: 'Say' }).isDisabled());
  });
});
