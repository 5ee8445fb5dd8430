// stompit with a list of brokers: a program that goes on when its broker dies.
// See ../doc.go, "Failover", for how it talks to the test.

import stompit from 'stompit';

const servers = process.env.STOMP_HOSTS.split(',').map((at) => {
  const colon = at.lastIndexOf(':');
  return { host: at.slice(0, colon), port: Number(at.slice(colon + 1)), connectHeaders: { host: 'localhost', 'heart-beat': '0,0' } };
});
const queue = process.env.STOMP_QUEUE;
const count = Number(process.env.STOMP_COUNT);
const patience = 60_000; // ms before a test that hangs gives up

setTimeout(() => {
  console.error('the program hangs');
  process.exit(1);
}, patience).unref();

const manager = new stompit.ConnectFailover(servers, { initialReconnectDelay: 50, maxReconnectDelay: 500, maxReconnects: -1 });
manager.on('error', () => {}); // of attempts: it goes on with the next broker
const channel = new stompit.Channel(manager, { alwaysConnected: true, recoverAfterApplicationError: true });

const sendOnce = (body) =>
  new Promise((resolve, reject) => channel.send({ destination: queue, 'content-type': 'text/plain' }, body, (err) => (err ? reject(err) : resolve())));

async function send(body) {
  for (;;) {
    try {
      return await sendOnce(body);
    } catch {
      // whether it was stored is not known: again
    }
  }
}

for (let n = 0; n < count; n++) {
  await send(String(n));
  console.log(`confirmed ${n}`);
}

const seen = new Set();
await new Promise((resolve) => {
  channel.subscribe({ destination: queue, ack: 'client-individual' }, async (err, message) => {
    if (err) return; // the channel subscribes again
    const chunks = [];
    for await (const chunk of message) chunks.push(chunk);
    seen.add(Number(Buffer.concat(chunks).toString()));
    channel.ack(message);
    if (seen.size >= count) resolve();
  });
});
for (let n = 0; n < count; n++) {
  if (!seen.has(n)) {
    console.error(`${n} did not come`);
    process.exit(1);
  }
}
console.log(`received ${count}`);
process.exit(0);
