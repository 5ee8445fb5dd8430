// @stomp/stompjs against TreadMQ, over TCP: see ../doc.go for how it talks to the test.

import net from 'node:net';
import assert from 'node:assert/strict';
import { Client, Versions } from '@stomp/stompjs';
import { host, port, login, passcode, ask, Inbox, within, pause, everyByte, run } from './session.mjs';

/** What stompjs expects of a WebSocket, over a plain socket. */
class TCPSocket {
  static OPEN = 1;
  url = `tcp://${host}:${port}`;
  readyState = 0; // connecting
  #socket;

  constructor() {
    this.#socket = net.connect(port, host, () => {
      this.readyState = 1;
      this.onopen();
    });
    this.#socket.on('data', (data) => this.onmessage({ data: new Uint8Array(data).buffer }));
    this.#socket.on('error', (err) => this.onerror(err));
    this.#socket.on('close', (failed) => {
      this.readyState = 3;
      this.onclose({ code: failed ? 1006 : 1000, wasClean: !failed });
    });
  }

  send(data) {
    this.#socket.write(typeof data === 'string' ? data : new Uint8Array(data));
  }

  close() {
    this.readyState = 2;
    this.#socket.end();
  }

  terminate() {
    this.#socket.destroy();
  }
}

/** A client with waiting built in. */
class Session {
  connected = new Inbox();
  closed = new Inbox();
  errors = new Inbox();
  beats = 0;
  #receipts = 0;

  constructor(options = {}) {
    this.client = new Client({
      webSocketFactory: () => new TCPSocket(),
      connectHeaders: { login, passcode },
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      reconnectDelay: 0,
      forceBinaryWSFrames: true,
      onConnect: (frame) => this.connected.put(frame),
      onStompError: (frame) => this.errors.put(frame),
      onWebSocketClose: () => this.closed.put(),
      onWebSocketError: () => {},
      onHeartbeatReceived: () => this.beats++,
      onHeartbeatLost: () => this.errors.put('heart-beat lost'),
      ...options,
    });
    this.client.activate();
  }

  /** Runs use with a session that is connected and ends in order. */
  static async with(use, options) {
    const s = new Session(options);
    s.hello = await s.connected.get('CONNECTED');
    await use(s);
    await within(s.client.deactivate(), 'the end of the connection');
  }

  /** Headers with a receipt, and a promise of its arrival. */
  receipt(headers = {}) {
    const receipt = `r-${++this.#receipts}`;
    const arrived = new Promise((resolve) => this.client.watchForReceipt(receipt, resolve));
    return { headers: { ...headers, receipt }, arrived: within(arrived, `receipt ${receipt}`) };
  }

  async send(destination, body, headers, more = {}) {
    const r = this.receipt(headers);
    this.client.publish({ destination, body, headers: r.headers, ...more });
    await r.arrived;
  }

  async subscribe(destination, ack = 'auto', headers = {}) {
    const inbox = new Inbox();
    const r = this.receipt({ ack, ...headers });
    const sub = this.client.subscribe(destination, (m) => inbox.put(m), r.headers);
    await r.arrived;
    return { next: () => inbox.get('a message'), sub };
  }

  async ack(message, headers) {
    const r = this.receipt(headers);
    message.ack(r.headers);
    await r.arrived;
  }
}

async function three(s, queue, ack) {
  const sub = await s.subscribe(queue, ack);
  const list = [];
  for (const body of ['one', 'two', 'three']) await s.send(queue, body);
  for (const body of ['one', 'two', 'three']) {
    list.push(await sub.next());
    assert.equal(list.at(-1).body, body);
  }
  return list;
}

/** Consumes from one queue and sends to another in a transaction that finish ends. */
const transact = (finish) =>
  Session.with(async (s) => {
    const sub = await s.subscribe('/queue/js.tx.in', 'client-individual');
    await s.send('/queue/js.tx.in', 'work');
    const m = await sub.next();
    const tx = s.client.begin();
    for (const body of ['result 1', 'result 2']) {
      s.client.publish({ destination: '/queue/js.tx.out', body, headers: { transaction: tx.id } });
    }
    await s.ack(m, { transaction: tx.id });
    await finish(s, tx, m);
  });

/** COMMIT and ABORT of stompjs take no receipt: any frame behind them with one tells that they were processed. */
const barrier = (s) => s.send('/topic/js.barrier', '');

/** stompjs connects again by itself; subscriptions are made anew in onConnect. */
async function reconnect(how) {
  await Session.with(
    async (s) => {
      const first = await s.subscribe('/queue/js.restart', 'client-individual');
      await s.send('/queue/js.restart', how);
      await first.next();
      await ask(`restart ${how}`);
      await s.closed.get('the loss of the connection');
      await s.connected.get('the next CONNECTED');
      const again = await s.subscribe('/queue/js.restart', 'client-individual');
      const m = await again.next();
      assert.equal(m.body, how);
      assert.equal(m.headers.redelivered, 'true');
      await s.ack(m);
    },
    { reconnectDelay: 100 },
  );
  await ask('count js.restart 0');
}

await run({
  'login': () => Session.with(async (s) => assert.equal(s.hello.headers.version, '1.2')),

  'login-refused': async () => {
    const s = new Session({ connectHeaders: { login, passcode: 'wrong' } });
    assert.ok((await s.errors.get('ERROR')).headers.message);
    await s.closed.get('the end of the connection');
  },

  'send-receipt': async () => {
    await Session.with((s) => s.send('/queue/js.send', 'hello'));
    await ask('count js.send 1');
  },

  'subscribe-auto': async () => {
    await Session.with(async (s) => {
      const m = await (await s.subscribe('/queue/js.send')).next();
      assert.equal(m.body, 'hello');
      assert.equal(m.headers.destination, '/queue/js.send');
    });
    await ask('count js.send 0');
  },

  'ack-client': async () => {
    await Session.with(async (s) => s.ack((await three(s, '/queue/js.client', 'client'))[1]));
    await ask('count js.client 1');
  },

  'redelivery': async () => {
    await Session.with(async (s) => {
      const m = await (await s.subscribe('/queue/js.client', 'client')).next();
      assert.equal(m.body, 'three');
      assert.equal(m.headers.redelivered, 'true');
      await s.ack(m);
    });
    await ask('count js.client 0');
  },

  'ack-individual': async () => {
    await Session.with(async (s) => s.ack((await three(s, '/queue/js.individual', 'client-individual'))[1]));
    await ask('count js.individual 2');
    await Session.with(async (s) => {
      const sub = await s.subscribe('/queue/js.individual', 'client-individual');
      for (const body of ['one', 'three']) {
        const m = await sub.next();
        assert.deepEqual([m.body, m.headers.redelivered], [body, 'true']);
        await s.ack(m);
      }
    });
    await ask('count js.individual 0');
  },

  'nack': async () => {
    await Session.with(async (s) => {
      const sub = await s.subscribe('/queue/js.nack', 'client-individual');
      await s.send('/queue/js.nack', 'again');
      const first = await sub.next();
      first.nack();
      const second = await sub.next();
      assert.equal(second.headers['message-id'], first.headers['message-id']);
      assert.equal(second.headers.redelivered, 'true');
      assert.equal(second.headers.JMSXDeliveryCount, '2');
      await s.ack(second);
    });
    await ask('count js.nack 0');
  },

  'transaction-commit': async () => {
    await transact(async (s, tx) => {
      await ask('count js.tx.out 0');
      await ask('count js.tx.in 1');
      tx.commit();
      await barrier(s);
    });
    await ask('count js.tx.out 2');
    await ask('count js.tx.in 0');
  },

  'transaction-abort': async () => {
    await transact(async (s, tx, m) => {
      tx.abort();
      await barrier(s);
      await ask('count js.tx.out 2');
      await ask('count js.tx.in 1');
      await s.ack(m);
    });
    await ask('count js.tx.in 0');
  },

  'binary': () =>
    Session.with(async (s) => {
      const sub = await s.subscribe('/queue/js.binary');
      await s.send('/queue/js.binary', undefined, {}, { binaryBody: new Uint8Array(everyByte) });
      assert.deepEqual(Buffer.from((await sub.next()).binaryBody), everyByte);
    }),

  // stompjs escapes values only, trims those that come in, and mistakes an escaped backslash before n, r or c.
  'utf8': () =>
    Session.with(async (s) => {
      const value = 'Grüße: 日本 \\ 🎉\nnext line\rend';
      const sub = await s.subscribe('/queue/js.ütf8');
      await s.send('/queue/js.ütf8', 'Wörld 🌍', { schlüssel: value });
      const m = await sub.next();
      assert.equal(m.body, 'Wörld 🌍');
      assert.equal(m.headers['schlüssel'], value);
    }),

  'topic': () =>
    Session.with((one) =>
      Session.with(async (two) => {
        const subs = [await one.subscribe('/topic/js.news.*'), await two.subscribe('/topic/js.news.>')];
        await one.send('/topic/js.news.today', 'extra');
        for (const sub of subs) assert.equal((await sub.next()).body, 'extra');
      }),
    ),

  'heart-beat': () =>
    Session.with(
      async (s) => {
        const sub = await s.subscribe('/queue/js.beat');
        await pause(5000); // the idle pause; the broker gives up after 4 s without our heart-beats
        assert.ok(s.beats >= 3, `the broker sent ${s.beats} heart-beats in 5 s`);
        await s.send('/queue/js.beat', 'still here');
        assert.equal((await sub.next()).body, 'still here');
      },
      { heartbeatIncoming: 1000, heartbeatOutgoing: 1000 },
    ),

  'reconnect-term': () => reconnect('term'),
  'reconnect-kill': () => reconnect('kill'),

  'versions': async () => {
    for (const version of [Versions.V1_1, Versions.V1_0]) {
      await Session.with(
        async (s) => {
          assert.equal(s.hello.headers.version, version);
          const list = await three(s, '/queue/js.versions', 'client');
          await s.ack(list[2]);
        },
        { stompVersions: new Versions([version]) },
      );
      await ask('count js.versions 0');
    }
  },

  // stompjs sends no header host unless it is told to; every step has shown that. Here with one.
  'host': () => Session.with(async () => {}, { connectHeaders: { login, passcode, host: 'example.org' } }),

  'without-content-length': () =>
    Session.with(async (s) => {
      const sub = await s.subscribe('/queue/js.length');
      for (const skipContentLengthHeader of [true, false]) {
        await s.send('/queue/js.length', 'äöü', {}, { skipContentLengthHeader });
        const m = await sub.next();
        assert.equal(m.body, 'äöü');
        assert.equal('content-length' in m.headers, !skipContentLengthHeader);
      }
    }),
});
