// node-redis against the sidecar: node node-redis.js PORT [PASSWORD]. Prints ok, or fails with a stack.

import assert from 'node:assert/strict';
import { createClient } from 'redis';

const port = Number(process.argv[2]);
const password = process.argv[3];

/** A map, whichever protocol brought it. */
function pairs(reply) {
  if (!Array.isArray(reply)) return { ...reply };
  const entries = [];
  for (let i = 0; i < reply.length; i += 2) entries.push([reply[i], reply[i + 1]]);
  return Object.fromEntries(entries);
}

async function sessions(client) {
  const run = (...args) => client.sendCommand(args.map(String));
  const token = await run('SESS.CREATE', 'USER', 'node', 'FIELDS', 'cart', '[]', 'theme', 'dark');
  assert.equal(token.length, 48);
  assert.deepEqual(pairs(await run('SESS.GET', token)), { cart: '[]', theme: 'dark' });
  assert.deepEqual(await run('SESS.GET', token, 'theme', 'nothing'), ['dark', null]);
  // Sent without waiting: node-redis pipelines by itself.
  const [version, count, cart] = await Promise.all([
    run('SESS.SET', token, 'cart', '[1]'),
    run('SESS.INCR', token, 'n', 2),
    run('SESS.GET', token, 'cart'),
  ]);
  assert.deepEqual([version, count, cart], [2, 2, ['[1]']]);
  assert.deepEqual(await run('SESS.POP', token, 'n'), ['2']);
  const info = pairs(await run('SESS.INFO', token));
  assert.equal(info.handle, token.slice(0, 16));
  const next = await run('SESS.ROTATE', token, 'GRACE', 0);
  assert.equal(await run('SESS.GET', token), null);
  const list = await run('SESS.LIST', 'node');
  assert.deepEqual(list.map((session) => pairs(session).handle), [next.slice(0, 16)]);
  assert.equal(await run('SESS.LOGOUT', 'node'), 1);
  assert.equal(await run('SESS.GET', next), null);
  await assert.rejects(run('SESS.GET'), /SESS\.GET token/);
}

async function plain(client) {
  await client.flushDb();
  assert.equal(await client.set('k', 'v', { expiration: { type: 'EX', value: 100 } }), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.get('nothing'), null);
  assert.equal(await client.hSet('h', { a: '1', b: '2' }), 2);
  assert.deepEqual({ ...(await client.hGetAll('h')) }, { a: '1', b: '2' });
  assert.equal(await client.zAdd('z', [{ score: 1, value: 'one' }]), 1);
  assert.deepEqual(await client.zRangeWithScores('z', 0, -1), [{ value: 'one', score: 1 }]);
  const keys = [];
  for await (const page of client.scanIterator({ MATCH: '?' })) keys.push(...page);
  assert.deepEqual(keys.sort(), ['h', 'k', 'z']);
  const replies = await client
    .multi()
    .set('p', '1')
    .get('p')
    .execAsPipeline();
  assert.deepEqual(replies, ['OK', '1']);
  const many = await Promise.all(
    Array.from({ length: 1000 }, (_, n) => client.echo(`value ${n}`)),
  );
  assert.deepEqual(many, Array.from({ length: 1000 }, (_, n) => `value ${n}`));
  await assert.rejects(client.sendCommand(['NOSUCHCOMMAND']));
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.clientGetName(), 'web');
}

for (const RESP of [undefined, 2, 3]) {
  for (const database of [0, 3]) {
    const client = createClient({
      socket: { host: '127.0.0.1', port, reconnectStrategy: false },
      password,
      name: 'web',
      database,
      RESP,
    });
    client.on('error', () => {});
    await client.connect();
    await sessions(client);
    await plain(client);
    await client.close();
  }
}
console.log('ok');
