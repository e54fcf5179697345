'use strict';

// The examples of publish and subscribe.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Client } = require('./Client.js');
const { Example } = require('./Example.js');

describe('PubSub', ours, () => {
  const post = async ({ url }, path, body) => {
    const response = await fetch(url + path, { method: 'POST', body });
    return [response.status, await response.text()];
  };

  it('tells subscribers what others publish, and nobody else', async (t) => {
    const example = await Example.start(t, 'PubSub.js');
    const [arthur, ford, marvin] = [
      await Client.open(t, example.webSocketUrl),
      await Client.open(t, example.webSocketUrl),
      await Client.open(t, example.webSocketUrl),
    ];
    assert.deepEqual(await arthur.ask({ subscribe: 'news/sport' }), { subscribed: 'news/sport' });
    assert.deepEqual(await ford.ask({ subscribe: 'news/sport' }), { subscribed: 'news/sport' });
    // Topics are no wildcards: neither a prefix of the topic nor a pattern matches it.
    assert.deepEqual(await marvin.ask({ subscribe: 'news' }), { subscribed: 'news' });
    assert.match((await marvin.ask({ subscribe: 'news/*' })).error, /not a valid topic/);

    const news = { publish: 'news/sport', text: 'Krikkit \u2192 6' };
    assert.deepEqual(await arthur.ask(news), { published: 'news/sport', isHeard: true });
    assert.deepEqual(await ford.next(), { topic: 'news/sport', text: 'Krikkit \u2192 6' });
    // A client can publish without having subscribed. If it had received the message above, that would come before the
    // reply.
    assert.deepEqual(await marvin.ask({ ...news, text: 'How dull.' }), { published: 'news/sport', isHeard: true });
    for (const client of [arthur, ford]) assert.equal((await client.next()).text, 'How dull.');
    assert.deepEqual(await marvin.ask({ publish: 'news', text: 'x' }), { published: 'news', isHeard: false });

    assert.deepEqual(await ford.ask({ unsubscribe: 'news/sport' }), { unsubscribed: 'news/sport' });
    assert.deepEqual(await arthur.ask(news), { published: 'news/sport', isHeard: false });
    assert.match((await ford.ask({ unsubscribe: 'news/sport' })).error, /have not subscribed/);
    assert.equal(example.stderr, '');
  });

  it('publishes what comes by HTTP', async (t) => {
    const example = await Example.start(t, 'PubSub.js');
    assert.deepEqual(await post(example, '/news', 'x'), [200, '0 get it.\n']);
    const clients = [await Client.open(t, example.webSocketUrl), await Client.open(t, example.webSocketUrl)];
    for (const client of clients) await client.ask({ subscribe: 'news' });
    assert.deepEqual(await post(example, '/news', '"\u00fc"'), [200, '2 get it.\n']);
    for (const client of clients) assert.deepEqual(await client.next(), { topic: 'news', text: '"\u00fc"' });
    assert.equal((await post(example, '/', 'x'))[0], 400);
    assert.equal((await post(example, '/news', 'x'.repeat(16 * 1024 + 1)))[0], 400);
  });

  it('counts subscribers, those that leave included', async (t) => {
    const example = await Example.start(t, 'PubSub.js');
    const [arthur, ford] = [await Client.open(t, example.webSocketUrl), await Client.open(t, example.webSocketUrl)];
    await arthur.ask({ subscribe: 'news' });
    await example.printed('news: 1 subscribers, was 0');
    await arthur.ask({ subscribe: 'news' });
    await ford.ask({ subscribe: 'news' });
    await example.printed('news: 2 subscribers, was 1');
    await arthur.ask({ unsubscribe: 'news' });
    await example.printed('news: 1 subscribers, was 2');
    await ford.ask({ subscribe: 'weather' });
    ford.terminate();
    await example.printed('weather: 0 subscribers, was 1');
    await example.printed('news: 0 subscribers, was 1');
    assert.deepEqual(await post(example, '/news', 'x'), [200, '0 get it.\n']);
    assert.equal(example.lines.filter((line) => line.startsWith('news: ')).length, 4, 'once is enough');
  });

  it('answers what makes no sense with an error, and goes on', async (t) => {
    const example = await Example.start(t, 'PubSub.js');
    const client = await Client.open(t, example.webSocketUrl);
    for (const [nonsense, error] of [
      ['', /Say subscribe/],
      ['{"subscribe":', /Say subscribe/],
      ['null', /Say subscribe/],
      ['42', /Say subscribe/],
      ['"subscribe"', /Say subscribe/],
      ['[["subscribe","news"]]', /Say subscribe/],
      [{ eat: 'news' }, /Say subscribe/],
      [Buffer.from('{"subscribe":"news"}'), /Text, please/],
      [{ subscribe: 5 }, /not a valid topic/],
      [{ subscribe: '' }, /not a valid topic/],
      [{ subscribe: { toString: 'news' } }, /not a valid topic/],
      [{ unsubscribe: 'n\nws' }, /not a valid topic/],
      [{ publish: 'n'.repeat(101), text: 'x' }, /not a valid topic/],
      [{ publish: 'news' }, /Publish a text/],
      [{ publish: 'news', text: ['x'] }, /Publish a text/],
    ]) {
      assert.match((await client.ask(nonsense)).error, error, JSON.stringify(nonsense));
    }
    for (let i = 0; i < 100; i += 1) assert.deepEqual(await client.ask({ subscribe: `${i}` }), { subscribed: `${i}` });
    assert.match((await client.ask({ subscribe: 'one-more' })).error, /Unsubscribe from something/);
    await client.ask({ unsubscribe: '7' });
    assert.deepEqual(await client.ask({ subscribe: 'one-more' }), { subscribed: 'one-more' });
    assert.equal(example.stderr, '');
  });
});

describe('Broadcast', ours, () => {
  const info = async ({ url }) => (await fetch(url)).text();

  it('tells everybody the same, from where it stands on', async (t) => {
    const example = await Example.start(t, 'Broadcast.js', { env: { INTERVAL: '5' } });
    assert.equal(await info(example), 'Towels are at 42; 0 clients know.\n');
    const early = await Client.open(t, example.webSocketUrl);
    const seen = [];
    for (let tick = 0; tick < 5; tick += 1) seen.push(await early.next());
    assert.deepEqual(seen[0], { tick: 0, price: 42 });
    const late = await Client.open(t, example.webSocketUrl);
    const first = await late.next();
    assert.match(await info(example), /; 2 clients know\.\n$/);
    // Nothing is sent twice or left out.
    while (seen.at(-1).tick < first.tick) seen.push(await early.next());
    assert.deepEqual(first, seen[first.tick]);
    for (let i = 1; i <= 5; i += 1) {
      const quote = await early.next();
      assert.equal(quote.tick, first.tick + i);
      assert.ok(quote.price > 0);
      assert.deepEqual(await late.next(), quote);
      seen.push(quote);
    }
    assert.deepEqual(
      seen.map(({ tick }) => tick),
      seen.map((_, index) => index),
    );
    assert.equal(example.stderr, '');
  });

  it('stops while nobody is there', async (t) => {
    const example = await Example.start(t, 'Broadcast.js', { env: { INTERVAL: '1' } });
    const clients = [await Client.open(t, example.webSocketUrl), await Client.open(t, example.webSocketUrl)];
    await example.printed('Trading');
    for (const client of clients) await client.next();
    clients[0].close();
    await clients[0].closed();
    // It continues for the other.
    for (let i = 0; i < 5; i += 1) await clients[1].next();
    clients[1].terminate();
    const stopped = () => example.lines.find((line) => line.startsWith('Nobody is here'));
    await until(stopped, 'end of trading');
    const tick = Number(/\d+$/.exec(stopped())[0]);
    // A running clock would tick many times meanwhile.
    for (let i = 0; i < 50; i += 1) assert.match(await info(example), /; 0 clients know\.\n$/);

    const next = await Client.open(t, example.webSocketUrl);
    assert.equal((await next.next()).tick, tick);
    await example.printed('Trading');
    assert.equal((await next.next()).tick, tick + 1);
  });
});
