// The channels protocol: a key in a message, subscriptions, flat events, JSON pings.
import assert from 'node:assert/strict'
import { bot, message, price, transaction } from '../events.mjs'
import { LIBRARIES, sinceStart, sleep } from '../stage.mjs'

const MINT = 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v'
const BOT = { channel: 'bot', botId: 'bot_abc123' }
const SUBSCRIPTIONS = [BOT, { channel: 'price', mint: MINT }, { channel: 'transactions', wallet: 'DemoWallet111' }]

/** What the program in Python says, which is what that in JavaScript says. */
export const plan = (apiKey) => ({
  opening: [{ type: 'auth', apiKey }, ...SUBSCRIPTIONS.map((channel) => ({ type: 'subscribe', ...channel }))],
  heartbeat: [{ type: 'ping' }, 30],
  leaving: [{ type: 'unsubscribe', ...BOT }],
})

function listen(stage, library, address, key) {
  const url = `ws://${address}/v1/ws`
  if (library === 'websockets') return stage.program(library, 'session.py', url, JSON.stringify(plan(key)))
  return stage.program(library, 'channels.cjs', url, key)
}

async function serving(stage, ...grants) {
  const subscriber = stage.key('trader', 'free', 'subscriber', ...grants)
  const publisher = stage.key('feed', 'free', 'publisher')
  return { server: await stage.serve(), subscriber, publisher }
}

const fields = ({ seq, ...rest }) => (assert.ok(Number.isInteger(seq)), rest)

export const long = {
  async 'authentication, subscriptions, flat events, unsubscription, and a pong for each ping'(stage) {
    const { server, subscriber, publisher } = await serving(stage, 'bot:bot_abc123')
    const listeners = Object.keys(LIBRARIES).map((library) => listen(stage, library, server.address, subscriber))
    for (const listener of listeners) {
      await listener.until('3 subscriptions', () => listener.messages('subscribed').length >= 3)
      const said = listener.messages().map(fields)
      assert.deepEqual(said.shift(), { type: 'authenticated' }, listener.name)
      said.forEach((answer, at) => assert.deepEqual(answer, { type: 'subscribed', ...SUBSCRIPTIONS[at] }, listener.name))
    }
    const connected = sinceStart()
    const events = [bot('bot_abc123', 0.15), bot('other', 1), price(MINT, 1.0001), price('other', 2), transaction('DemoWallet111', 250123456)]
    const first = stage.publish(server.address, publisher, events) - events.length + 1
    const expected = [0, 2, 4].map((at) => message(first + at, events[at]))
    for (const listener of listeners) {
      await listener.until('transaction', () => listener.messages('transaction_confirmed').length > 0)
      assert.deepEqual(listener.messages().slice(4), expected, listener.name)
      listener.child.kill('SIGUSR2')
      await listener.until('farewell', () => listener.messages('unsubscribed').length > 0)
      assert.deepEqual(fields(listener.messages('unsubscribed')[0]), { type: 'unsubscribed', ...BOT }, listener.name)
    }
    // Two pings, 30 s apart, and still there: both answered.
    for (const listener of listeners) {
      await listener.until('pong', () => listener.messages('pong').length > 0, 35_000)
    }
    await sleep(Math.max(0, connected + 57_000 - sinceStart()))
    const later = [bot('bot_abc123', 7), price(MINT, 0.9999)]
    expected.push(message(stage.publish(server.address, publisher, later), later[1]))
    for (const listener of listeners) {
      await listener.until('second price', () => listener.messages('price_update').length > 1)
      const types = ['bot_update', 'price_update', 'transaction_confirmed']
      assert.deepEqual(listener.messages(...types), expected, listener.name)
      await listener.until('second pong', () => listener.messages('pong').length > 1, 10_000)
      for (const { timestamp } of listener.messages('pong')) {
        assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
        assert.ok(Math.abs(Date.now() - Date.parse(timestamp)) < 60_000, timestamp)
      }
      assert.deepEqual([listener.count('close'), listener.count('error')], [0, 0], listener.name)
      listener.child.kill('SIGTERM')
      assert.match(await listener.line('close'), /^close 1000/, listener.name)
    }
  },
}

export const checks = {
  async 'a bot without a grant is FORBIDDEN, and all else works'(stage) {
    const { server, subscriber } = await serving(stage)
    for (const library of Object.keys(LIBRARIES)) {
      const listener = listen(stage, library, server.address, subscriber)
      const error = await listener.message('error', ({ type }) => type === 'error')
      assert.equal(error.code, 'FORBIDDEN')
      assert.match(error.message, /bot:bot_abc123/)
      await listener.until('2 subscriptions', () => listener.messages('subscribed').length === 2)
    }
  },

  async 'a wrong key is told, then closed with 4401'(stage) {
    const { server } = await serving(stage)
    for (const library of Object.keys(LIBRARIES)) {
      const listener = listen(stage, library, server.address, 'stn_unknown')
      assert.match(await listener.line('close'), /^close 4401 /, library)
      assert.equal(listener.messages('error')[0].code, 'AUTHENTICATION_FAILED', library)
    }
  },
}
