// ioredis against the sidecar: node ioredis.js PORT [PASSWORD]. Prints ok, or fails with a stack.

import assert from 'node:assert/strict';
import { Redis } from 'ioredis';

const port = Number(process.argv[2]);
const password = process.argv[3];

/** A map out of the flat array that RESP2 has for one. */
function pairs(reply) {
  const entries = [];
  for (let i = 0; i < reply.length; i += 2) entries.push([reply[i], reply[i + 1]]);
  return Object.fromEntries(entries);
}

async function sessions(client) {
  const run = (...args) => client.call(...args);
  const token = await run('SESS.CREATE', 'USER', 'io', 'FIELDS', 'cart', '[]', 'theme', 'dark');
  assert.equal(token.length, 48);
  assert.deepEqual(pairs(await run('SESS.GET', token)), { cart: '[]', theme: 'dark' });
  assert.deepEqual(await run('SESS.GET', token, 'theme', 'nothing'), ['dark', null]);
  const replies = await client
    .pipeline()
    .call('SESS.SET', token, 'cart', '[1]')
    .call('SESS.GET', token, 'cart')
    .call('SESS.INCR', token, 'n', 2)
    .exec();
  assert.deepEqual(replies, [[null, 2], [null, ['[1]']], [null, 2]]);
  assert.deepEqual(await run('SESS.POP', token, 'n'), ['2']);
  assert.equal(pairs(await run('SESS.INFO', token)).handle, token.slice(0, 16));
  const next = await run('SESS.ROTATE', token, 'GRACE', 0);
  assert.equal(await run('SESS.GET', token), null);
  const list = await run('SESS.LIST', 'io');
  assert.deepEqual(list.map((session) => pairs(session).handle), [next.slice(0, 16)]);
  assert.equal(await run('SESS.LOGOUT', 'io'), 1);
  assert.equal(await run('SESS.GET', next), null);
  await assert.rejects(run('SESS.GET'), /SESS\.GET token/);
}

async function plain(client) {
  await client.flushdb();
  assert.equal(await client.set('k', 'v', 'EX', 100), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.get('nothing'), null);
  assert.equal(await client.hset('h', { a: '1', b: '2' }), 2);
  assert.deepEqual(await client.hgetall('h'), { a: '1', b: '2' });
  assert.equal(await client.zadd('z', 1, 'one'), 1);
  assert.deepEqual(await client.zrange('z', 0, -1, 'WITHSCORES'), ['one', '1']);
  const keys = [];
  for await (const page of client.scanStream({ match: '?' })) keys.push(...page);
  assert.deepEqual(keys.sort(), ['h', 'k', 'z']);
  const pipeline = client.pipeline();
  for (let n = 0; n < 1000; n += 1) pipeline.echo(`value ${n}`);
  const replies = await pipeline.exec();
  replies.forEach((reply, n) => assert.deepEqual(reply, [null, `value ${n}`]));
  await assert.rejects(client.call('NOSUCHCOMMAND'));
  assert.equal(await client.ping(), 'PONG');
  assert.match(await client.info(), /# Sessile/);
  assert.equal(await client.client('GETNAME'), 'web');
}

for (const db of [0, 3]) {
  const client = new Redis({
    host: '127.0.0.1',
    port,
    password,
    db,
    connectionName: 'web',
    lazyConnect: true,
    retryStrategy: null,
  });
  await client.connect();
  await sessions(client);
  await plain(client);
  await client.quit();
}
console.log('ok');
