// stompit against TreadMQ: see ../doc.go for how it talks to the test.

import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import stompit from 'stompit';
import { host, port, login, passcode, ca, ask, Inbox, within, pause, everyByte, run } from './session.mjs';

// stompit destroys the frame of an ERROR with the error, which nobody can listen for: node would end at each ERROR.
process.on('uncaughtException', (err) => {
  if (err.isApplicationError?.()) return;
  console.error(err);
  process.exit(1);
});

const connect = promisify(stompit.connect);

const options = (headers = {}) => ({
  host,
  port,
  connectHeaders: { host: 'localhost', login, passcode, 'heart-beat': '0,0', ...headers },
});

/** Runs use with a client that is connected and ends in order. */
async function session(use, opts = options()) {
  const client = await within(connect(opts), 'CONNECTED');
  const errors = new Inbox();
  client.on('error', (err) => errors.put(err));
  client.failure = () => errors.get('a failure');
  await use(client);
  await within(promisify(client.disconnect.bind(client))(), 'the end of the connection');
}

/** A promise of the receipt of whatever start sends with the options it is given. */
const receipt = (start) => within(new Promise((onReceipt) => start({ onReceipt })), 'a receipt');

const send = (client, destination, body, headers = {}) =>
  receipt((opts) => client.send({ destination, 'content-type': 'text/plain', ...headers }, opts).end(body));

/** Subscribes; messages come with their bodies read. A SEND with receipt behind it shows that it is in force. */
async function subscribe(client, destination, ack = 'auto', headers = {}) {
  const inbox = new Inbox();
  client.subscribe({ destination, ack, ...headers }, async (err, message) => {
    if (err) return; // the connection's failure is seen elsewhere
    const chunks = [];
    for await (const chunk of message) chunks.push(chunk);
    message.body = Buffer.concat(chunks);
    inbox.put(message);
  });
  await send(client, '/topic/stompit.barrier', '');
  return () => inbox.get('a message');
}

const ack = (client, message, headers = {}) => receipt((opts) => client.ack(message, headers, opts));

const text = (message) => message.body.toString();

async function three(client, queue, mode) {
  const next = await subscribe(client, queue, mode);
  const list = [];
  for (const body of ['one', 'two', 'three']) await send(client, queue, body);
  for (const body of ['one', 'two', 'three']) {
    list.push(await next());
    assert.equal(text(list.at(-1)), body);
  }
  return list;
}

const transact = (finish) =>
  session(async (client) => {
    const next = await subscribe(client, '/queue/stompit.tx.in', 'client-individual');
    await send(client, '/queue/stompit.tx.in', 'work');
    const m = await next();
    const tx = client.begin();
    for (const body of ['result 1', 'result 2']) tx.send({ destination: '/queue/stompit.tx.out' }).end(body);
    await ack(client, m, { transaction: tx.id });
    await finish(client, tx, m);
  });

async function reconnect(how) {
  const client = await within(connect(options()), 'CONNECTED');
  const lost = new Promise((resolve) => client.on('error', resolve));
  const next = await subscribe(client, '/queue/stompit.restart', 'client-individual');
  await send(client, '/queue/stompit.restart', how);
  await next();
  await ask(`restart ${how}`);
  await within(lost, 'the loss of the connection');
  // Its own way to connect again: a list of servers that is tried in turn.
  const servers = new stompit.ConnectFailover([options()], { initialReconnectDelay: 50, maxReconnects: 100 });
  const again = await within(promisify(servers.connect.bind(servers))(), 'CONNECTED');
  again.on('error', () => {});
  const m = await (await subscribe(again, '/queue/stompit.restart', 'client-individual'))();
  assert.deepEqual([text(m), m.headers.redelivered], [how, 'true']);
  await ack(again, m);
  again.disconnect();
  await ask('count stompit.restart 0');
}

await run({
  'login': () => session(async (client) => assert.equal(client.headers.version, '1.2')),

  'login-refused': () => assert.rejects(within(connect(options({ passcode: 'wrong' })), 'ERROR')),

  'send-receipt': async () => {
    await session((client) => send(client, '/queue/stompit.send', 'hello'));
    await ask('count stompit.send 1');
  },

  'subscribe-auto': async () => {
    await session(async (client) => {
      const m = await (await subscribe(client, '/queue/stompit.send'))();
      assert.equal(text(m), 'hello');
      assert.equal(m.headers['content-type'], 'text/plain');
    });
    await ask('count stompit.send 0');
  },

  'ack-client': async () => {
    await session(async (client) => ack(client, (await three(client, '/queue/stompit.client', 'client'))[1]));
    await ask('count stompit.client 1');
  },

  'redelivery': async () => {
    await session(async (client) => {
      const m = await (await subscribe(client, '/queue/stompit.client', 'client'))();
      assert.deepEqual([text(m), m.headers.redelivered], ['three', 'true']);
      await ack(client, m);
    });
    await ask('count stompit.client 0');
  },

  'ack-individual': async () => {
    await session(async (client) => ack(client, (await three(client, '/queue/stompit.individual', 'client-individual'))[1]));
    await ask('count stompit.individual 2');
    await session(async (client) => {
      const next = await subscribe(client, '/queue/stompit.individual', 'client-individual');
      for (const body of ['one', 'three']) {
        const m = await next();
        assert.deepEqual([text(m), m.headers.redelivered], [body, 'true']);
        await ack(client, m);
      }
    });
    await ask('count stompit.individual 0');
  },

  'nack': async () => {
    await session(async (client) => {
      const next = await subscribe(client, '/queue/stompit.nack', 'client-individual');
      await send(client, '/queue/stompit.nack', 'again');
      const first = await next();
      await receipt((opts) => client.nack(first, {}, opts));
      const second = await next();
      assert.equal(second.headers['message-id'], first.headers['message-id']);
      assert.equal(second.headers.redelivered, 'true');
      await ack(client, second);
    });
    await ask('count stompit.nack 0');
  },

  'transaction-commit': async () => {
    await transact(async (client, tx) => {
      await ask('count stompit.tx.out 0');
      await ask('count stompit.tx.in 1');
      await receipt((opts) => tx.commit(opts));
    });
    await ask('count stompit.tx.out 2');
    await ask('count stompit.tx.in 0');
  },

  'transaction-abort': async () => {
    await transact(async (client, tx, m) => {
      await receipt((opts) => tx.abort(opts));
      await ask('count stompit.tx.out 2');
      await ask('count stompit.tx.in 1');
      await ack(client, m);
    });
    await ask('count stompit.tx.in 0');
  },

  'binary': () =>
    session(async (client) => {
      const next = await subscribe(client, '/queue/stompit.binary');
      await send(client, '/queue/stompit.binary', everyByte, { 'content-length': everyByte.length });
      assert.deepEqual((await next()).body, everyByte);
    }),

  // stompit writes as it gets it: a body of unknown length has no content-length and ends at its NUL.
  'stream': () =>
    session(async (client) => {
      const next = await subscribe(client, '/queue/stompit.stream');
      await receipt((opts) => {
        const frame = client.send({ destination: '/queue/stompit.stream' }, opts);
        for (let i = 0; i < 1000; i++) frame.write('x'.repeat(1000));
        frame.end();
      });
      const m = await next();
      assert.equal(m.body.length, 1_000_000);
      assert.equal('content-length' in m.headers, false);
    }),

  'utf8': () =>
    session(async (client) => {
      const value = 'Grüße: 日本\\n 🎉\nnext line\rand\\c';
      const next = await subscribe(client, '/queue/stompit.ütf8');
      await send(client, '/queue/stompit.ütf8', 'Wörld 🌍', { schlüssel: value, 'a:b': ' x ' });
      const m = await next();
      assert.equal(text(m), 'Wörld 🌍');
      assert.equal(m.headers['schlüssel'], value);
      assert.equal(m.headers['a:b'], ' x ');
    }),

  'topic': () =>
    session((one) =>
      session(async (two) => {
        const subs = [await subscribe(one, '/topic/stompit.news.*'), await subscribe(two, '/topic/stompit.news.>')];
        await send(one, '/topic/stompit.news.today', 'extra');
        for (const next of subs) assert.equal(text(await next()), 'extra');
      }),
    ),

  'heart-beat': () =>
    session(async (client) => {
      const next = await subscribe(client, '/queue/stompit.beat');
      // The idle pause; the broker gives up after 4 s without our heart-beats, stompit somewhat after one of its own.
      await Promise.race([pause(5000), client.failure().then((err) => assert.fail(`the idle connection ended: ${err}`))]);
      await send(client, '/queue/stompit.beat', 'still here');
      assert.equal(text(await next()), 'still here');
    }, options({ 'heart-beat': '1000,1000' })),

  'reconnect-term': () => reconnect('term'),
  'reconnect-kill': () => reconnect('kill'),

  'tls': () =>
    session(
      async (client) => {
        const next = await subscribe(client, '/queue/stompit.tls');
        await send(client, '/queue/stompit.tls', 'sealed');
        assert.equal(text(await next()), 'sealed');
      },
      { ...options(), ssl: true, ca: readFileSync(ca), servername: 'localhost' },
    ),

  // stompit says subscription, message-id and id in each ACK, whatever the version.
  'versions': async () => {
    for (const version of ['1.1', '1.0']) {
      await session(async (client) => {
        assert.equal(client.headers.version, version);
        await ack(client, (await three(client, '/queue/stompit.versions', 'client'))[2]);
      }, options({ 'accept-version': version }));
      await ask('count stompit.versions 0');
    }
  },
});
