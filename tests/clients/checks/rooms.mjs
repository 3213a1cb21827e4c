// The rooms protocol: a token in the header or in a message, rooms by name and by themselves, ten types of event.
import assert from 'node:assert/strict'
import { message, roomEvents } from '../events.mjs'
import { LIBRARIES, sinceStart, sleep } from '../stage.mjs'

const MARKET = 'market:BTC_USD'

/** What the program in Python says, which is what the class in JavaScript says. */
export const plan = (token) => ({
  opening: [
    { type: 'auth', token },
    ...[MARKET, 'positions', 'notifications', 'margin_guard'].map((channel) => ({ type: 'subscribe', channel })),
  ],
  leaving: [
    { type: 'unsubscribe', channel: MARKET },
    { type: 'list_rooms' },
    { type: 'subscribe', channel: 'market_data' },
  ],
})

function listen(stage, library, address, token) {
  const url = `ws://${address}/ws`
  if (library === 'websockets') return stage.program(library, 'session.py', url, JSON.stringify(plan(token)))
  return stage.program(library, 'rooms.cjs', url, token)
}

async function serving(stage) {
  const publisher = stage.key('feed', 'free', 'publisher')
  const token = stage.stentor('token', 'mint', '--user', 'user_123')
  return { server: await stage.serve(), publisher, token }
}

function greeted(greeting) {
  const { sessionId, serverTime, seq, ...rest } = greeting
  assert.deepEqual(rest, { type: 'connection', status: 'connected', userId: 'user_123' })
  assert.ok(typeof sessionId === 'string' && sessionId && Number.isInteger(seq), JSON.stringify(greeting))
  assert.ok(Math.abs(Date.now() - Date.parse(serverTime)) < 60_000, serverTime)
}

export const long = {
  async 'rooms, all ten types, leaving, and pings that the libraries answer'(stage) {
    const { server, publisher, token } = await serving(stage)
    const listeners = Object.keys(LIBRARIES).map((library) => listen(stage, library, server.address, token))
    for (const listener of listeners) {
      await listener.until('4 rooms', () => listener.messages('room_subscription').length >= 4)
      greeted(listener.messages()[0])
      const { subscribedRooms, seq, ...answer } = listener.messages('room_subscription').pop()
      assert.ok(Number.isInteger(seq), listener.name)
      assert.deepEqual(answer, { type: 'room_subscription', channel: 'margin_guard', status: 'subscribed' })
      assert.deepEqual(new Set(subscribedRooms), new Set(['user:user_123', MARKET, 'positions', 'notifications', 'margin_guard']))
    }
    const connected = sinceStart()
    const mine = roomEvents('user_123', 'BTC_USD')
    // Another's rooms and market stay silent; the system's two are everybody's.
    const foreign = roomEvents('user_1234', 'ETH_USD').filter(({ event }) => event.topic !== 'system')
    const admin = { type: 'note', topic: 'admin:1', data: {} }
    const events = [...mine, ...foreign].map(({ event }) => event)
    const first = stage.publish(server.address, publisher, [...events, admin]) - events.length
    const expected = mine.map(({ event, channel }, at) => message(first + at, event, channel))
    const received = (listener) => listener.messages().filter(({ seq, data }) => data && seq)
    for (const listener of listeners) {
      await listener.until('ten events', () => received(listener).length >= 10)
      assert.deepEqual(received(listener), expected, listener.name)
      listener.child.kill('SIGUSR2')
      const error = await listener.message('error', ({ type }) => type === 'error')
      assert.equal(error.code, 'INVALID_ROOM', listener.name)
      const answers = listener.messages('room_subscription').slice(4)
      assert.deepEqual(answers.map(({ status }) => status), ['unsubscribed', 'listed'], listener.name)
      for (const { subscribedRooms } of answers) {
        assert.deepEqual(new Set(subscribedRooms), new Set(['user:user_123', 'positions', 'notifications', 'margin_guard']))
      }
    }
    // Whoever answers no ping is closed with the third one, 60 s after the first message at the latest.
    await sleep(Math.max(0, connected + 61_000 - sinceStart()))
    const [left, , alarm] = mine
    const seq = stage.publish(server.address, publisher, [left.event, alarm.event])
    for (const listener of listeners) {
      await listener.until('eleventh event', () => received(listener).length > 10)
      assert.deepEqual(received(listener).slice(10), [message(seq, alarm.event, alarm.channel)], listener.name)
      assert.deepEqual([listener.count('close'), listener.count('error')], [0, 0], listener.name)
      listener.child.kill('SIGTERM')
      assert.match(await listener.line('close'), /^close 1000/, listener.name)
    }
    assert.equal(await listeners[0].line('told'), 'told of a room that is none')
  },
}

export const checks = {
  async 'a token in the header and in a message opens one session'(stage) {
    const { server, publisher, token } = await serving(stage)
    const python = { headers: { Authorization: `Bearer ${token}` }, opening: [{ type: 'auth', token }, { type: 'list_rooms' }] }
    const url = `ws://${server.address}/ws`
    const listeners = [
      stage.program('ws', 'header.cjs', url, token),
      stage.program('native', 'header.cjs', url, token),
      stage.program('websockets', 'session.py', url, JSON.stringify(python)),
    ]
    for (const listener of listeners) {
      await listener.until('rooms', () => listener.messages('room_subscription').length > 0)
      const [one, other] = listener.messages('connection')
      greeted(one)
      greeted(other)
      assert.equal(one.sessionId, other.sessionId, listener.name)
      assert.deepEqual(listener.messages('room_subscription')[0].subscribedRooms, ['user:user_123'], listener.name)
    }
    const event = { type: 'price_alert', topic: 'user:user_123', data: { id: 'once' } }
    const seq = stage.publish(server.address, publisher, [event])
    for (const listener of listeners) {
      await listener.message('alarm', ({ type }) => type === 'price_alert')
      assert.deepEqual(listener.messages('price_alert'), [message(seq, event, 'alerts')], listener.name)
    }
  },

  async 'a token that is not believed fails the connection, with a code and 4401'(stage) {
    const { server } = await serving(stage)
    for (const library of Object.keys(LIBRARIES)) {
      const listener = listen(stage, library, server.address, 'eyJhbGciOiJub25lIn0.e30.')
      assert.match(await listener.line('close'), /^close 4401 /, library)
      assert.equal(listener.messages('connection')[0].status, 'error', library)
      assert.equal(listener.messages('error')[0].code, 'AUTHENTICATION_FAILED', library)
      if (library === 'websockets') continue
      assert.equal(await listener.line('rejected'), 'rejected Authentication failed', library)
      assert.equal(await listener.line('told'), 'told to log in again', library)
    }
  },
}
