// What both JavaScript clients' programs share: the talk with the test. See ../doc.go.

import { createInterface } from 'node:readline';
import assert from 'node:assert/strict';

export const host = process.env.STOMP_HOST;
export const port = Number(process.env.STOMP_PORT);
export const login = process.env.STOMP_LOGIN;
export const passcode = process.env.STOMP_PASSCODE;
export const ca = process.env.STOMP_CA;

const patience = 30_000; // ms before a step that hangs gives up

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test for something and waits until it is done. */
export async function ask(line) {
  console.log(line);
  const { value } = await answers.next();
  assert.equal(value, 'done', `the test gave up on: ${line}`);
}

/** A queue to wait at: what is put in comes out in order. */
export class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#items.push(item);
  }

  get(what) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }
}

/** Rejects when a promise takes too long. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Every byte value, many times, NULs at the end. */
export const everyByte = Buffer.concat([...Array(40).fill(Buffer.from(Array.from({ length: 256 }, (_, i) => i))), Buffer.alloc(2)]);

/** Runs the steps, an object of name and function, in order. */
export async function run(steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (err) {
      console.error(`${name}:`, err);
      process.exit(1);
    }
    console.log(`ok ${name}`);
  }
  console.log('done');
  process.exit(0);
}
