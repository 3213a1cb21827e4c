// The watchlist protocol: programs as an event emitter, in browser style, and on Python's library.
import assert from 'node:assert/strict'
import { OWNER, trade } from '../events.mjs'
import { join } from 'node:path'
import { here, sinceStart, sleep } from '../stage.mjs'

/** The three programs, by the words that start them. */
const PROGRAMS = {
  'ws, event emitter': ['node', join(here, 'programs/emitter.mjs')],
  'ws, browser style': ['node', join(here, 'programs/onmessage.cjs')],
  websockets: ['python3', join(here, 'programs/listener.py')],
}

const listen = (stage, program, address, key) => stage.run([...PROGRAMS[program], `ws://${address}/ws/alerts?apiKey=${key}`])

/** All three programs, connected. */
async function listenWithAll(stage, address, key) {
  const listeners = Object.keys(PROGRAMS).map((program) => listen(stage, program, address, key))
  for (const listener of listeners) await listener.line('open')
  return listeners
}

/** The line's fields that a listener prints for an event. */
const printed = (seq, { type, data }) => [
  seq,
  type.slice('trade.'.length),
  ...['owner', 'marketSymbol', 'side', 'sizeUsd', 'leverage', 'entryPrice', 'timestamp'].map((field) => data[field]),
]

/** A server with the keys of an elite subscriber who watches OWNER and of a publisher. */
async function serving(stage) {
  const subscriber = stage.key('watcher', 'elite')
  const publisher = stage.key('feed', 'free', 'publisher')
  stage.stentor('account', 'watch', 'watcher', OWNER)
  return { server: await stage.serve(), subscriber, publisher }
}

export const checks = {
  async 'a published file is printed by every program, watched wallets only'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await listenWithAll(stage, server.address, subscriber)
    const events = [
      trade('open'),
      trade('open', { owner: 'somebodyElse' }),
      trade('increase', { sizeUsd: 20000, side: 'short' }),
      trade('close', { entryPrice: 1e-7, marketSymbol: 'Ünïcode-PERP 😀' }),
      trade('liquidation', { leverage: 100 }),
    ]
    const first = stage.publish(server.address, publisher, events) - events.length + 1
    const expected = events.map((event, at) => printed(first + at, event)).filter(([, , owner]) => owner === OWNER)
    for (const listener of listeners) {
      await listener.until('4 trades', () => listener.trades().length >= expected.length)
      assert.deepEqual(listener.trades(), expected, listener.name)
    }
  },

  async 'a burst of 2,000 events is printed whole and in order'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await listenWithAll(stage, server.address, subscriber)
    const last = stage.publish(server.address, publisher, Array.from({ length: 2000 }, () => trade('open')))
    for (const listener of listeners) {
      await listener.until('2,000 trades', () => listener.trades().length >= 2000, 30_000)
      assert.deepEqual(listener.trades().map(([seq]) => seq), Array.from({ length: 2000 }, (_, at) => last - 1999 + at))
    }
  },

  async 'an offer of permessage-deflate is declined, and all works without'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    // Both libraries offer it unless told otherwise.
    for (const listener of await listenWithAll(stage, server.address, subscriber)) {
      assert.equal(await listener.line('open'), 'open ""', listener.name)
    }
    assert.ok(stage.publish(server.address, publisher, [trade('open')]) > 0)
  },

  async 'an added owner reaches programs that are connected already'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await listenWithAll(stage, server.address, subscriber)
    const answer = await fetch(`http://${server.address}/api/watchlist`, {
      method: 'POST',
      headers: { 'X-API-Key': subscriber, 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner: 'newcomer' }),
    })
    assert.equal(answer.status, 200)
    const event = trade('open', { owner: 'newcomer' })
    const seq = stage.publish(server.address, publisher, [event])
    for (const listener of listeners) {
      await listener.line('trade')
      assert.deepEqual(listener.trades(), [printed(seq, event)], listener.name)
    }
  },

  async 'a server that stops says 1012'(stage) {
    const { server, subscriber } = await serving(stage)
    const listeners = await listenWithAll(stage, server.address, subscriber)
    server.child.kill('SIGTERM')
    for (const listener of listeners) assert.match(await listener.line('close'), /^close 1012 /, listener.name)
    assert.equal(await server.exit, 0)
  },

  async 'a program that closes is answered with its own code'(stage) {
    const { server, subscriber } = await serving(stage)
    for (const listener of await listenWithAll(stage, server.address, subscriber)) {
      listener.child.kill('SIGTERM')
      assert.match(await listener.line('close'), /^close 1000/, listener.name)
    }
  },
}

for (const program of Object.keys(PROGRAMS)) {
  checks[`a tier that is too low shows 4403 and a reason (${program})`] = async (stage) => {
    const key = stage.key('small', 'pro')
    const server = await stage.serve()
    const line = await listen(stage, program, server.address, key).line('close')
    assert.match(line, /^close 4403 .*elite/)
    // The second time within a minute it is refused before the upgrade.
    assert.match(await listen(stage, program, server.address, key).line('error'), /403/)
  }
  checks[`a bad key shows 401 (${program})`] = async (stage) => {
    const server = await stage.serve()
    assert.match(await listen(stage, program, server.address, 'stn_unknown').line('error'), /401/)
  }
}

export const long = {
  async 'pings are answered by the libraries, and sockets live past the deadline of those that answer none'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await listenWithAll(stage, server.address, subscriber)
    const emitter = listeners[0]
    const connected = sinceStart()
    await emitter.until('third ping', (lines) => lines.filter((line) => line === 'ping').length >= 3, 65_000)
    // Whoever had answered none would have been closed at the third ping, 60 s after it came at the latest.
    await sleep(Math.max(0, connected + 62_000 - sinceStart()))
    const seq = stage.publish(server.address, publisher, [trade('close')])
    for (const listener of listeners) {
      await listener.line('trade')
      assert.deepEqual(listener.trades(), [printed(seq, trade('close'))], listener.name)
      assert.ok(!listener.lines.some((line) => line.startsWith('close')), listener.name)
    }
  },
}
