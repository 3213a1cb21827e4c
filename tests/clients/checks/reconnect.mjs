// A server that ends and comes back: the programs' own code brings every one of them back, subscribed as before.
import assert from 'node:assert/strict'
import { OWNER, alert, bot, trade } from '../events.mjs'
import { LIBRARIES, sleep } from '../stage.mjs'
import { plan as channelsPlan } from './channels.mjs'
import { plan as roomsPlan } from './rooms.mjs'

/** The watchlist's program waits five seconds; Python's library up to five, and again somewhat longer. */
const BACK_MS = 25_000

/** Each protocol's program, what tells that it is subscribed, and an event for it that holds `mark`. */
const PROTOCOLS = {
  watchlist: {
    start: (stage, library, address, { key }) =>
      library === 'websockets'
        ? stage.program(library, 'session.py', `ws://${address}/ws/alerts?apiKey=${key}`, '{}')
        : stage.program(library, 'watchlist.cjs', `ws://${address}/ws/alerts?apiKey=${key}`),
    isReady: (since) => since.some((line) => line === 'open'),
    event: (mark) => trade('open', { mark }),
    mark: ({ data }) => data?.mark,
  },
  tiered: {
    start: (stage, library, address, { key }) =>
      library === 'websockets'
        ? stage.program(library, 'session.py', `ws://${address}/ws/alerts?api_key=${key}`, '{"heartbeat":["ping",25]}')
        : stage.program(library, 'tiered.cjs', `ws://${address}/ws/alerts?api_key=${key}`),
    isReady: (since) => since.some((line) => line.includes('"connected"')),
    event: (mark) => alert(1, { mark }),
    mark: ({ data }) => data?.mark,
  },
  channels: {
    start: (stage, library, address, { key }) =>
      library === 'websockets'
        ? stage.program(library, 'session.py', `ws://${address}/v1/ws`, JSON.stringify(channelsPlan(key)))
        : stage.program(library, 'channels.cjs', `ws://${address}/v1/ws`, key),
    isReady: (since) => since.filter((line) => line.includes('"subscribed"')).length >= 3,
    event: (mark) => bot('bot_abc123', mark),
    mark: ({ type, data }) => (type === 'bot_update' ? data.profit : undefined),
  },
  rooms: {
    start: (stage, library, address, { token }) =>
      library === 'websockets'
        ? stage.program(library, 'session.py', `ws://${address}/ws`, JSON.stringify(roomsPlan(token)))
        : stage.program(library, 'rooms.cjs', `ws://${address}/ws`, token),
    isReady: (since) => since.some((line) => line.includes('"channel":"margin_guard"') || line.includes('"channel": "margin_guard"')),
    event: (mark) => ({ type: 'market_data_update', topic: 'market:BTC_USD', data: { mark } }),
    mark: ({ data }) => data?.mark,
  },
}

async function comesBack(stage, signal, awayMs) {
  const key = stage.key('fleet', 'elite', 'subscriber', 'bot:*')
  const publisher = stage.key('feed', 'free', 'publisher')
  const token = stage.stentor('token', 'mint', '--user', 'user_123')
  stage.stentor('account', 'watch', 'fleet', OWNER)
  let server = await stage.serve()
  const { address } = server
  const clients = Object.values(PROTOCOLS).flatMap((protocol) =>
    Object.keys(LIBRARIES).map((library) => ({ protocol, program: protocol.start(stage, library, address, { key, token }) })),
  )
  const ready = async (since) => {
    for (const { protocol, program } of clients) {
      await program.until('subscription', (lines) => protocol.isReady(lines.slice(since.get(program) ?? 0)), BACK_MS)
    }
  }
  /** Publishes one event for each protocol; every program receives its own once. */
  const tell = async (mark) => {
    stage.publish(address, publisher, Object.values(PROTOCOLS).map(({ event }) => event(mark)))
    for (const { protocol, program } of clients) {
      await program.message(`mark ${mark}`, (message) => protocol.mark(message) === mark)
    }
  }

  await ready(new Map())
  await tell(1)
  const since = new Map(clients.map(({ program }) => [program, program.lines.length]))
  server.child.kill(signal)
  await server.exit
  for (const { program } of clients) {
    const close = await program.line('close')
    // One that was killed sends no close frame: 1006 is what libraries say then; Python's has the peer's code only.
    assert.match(close, signal === 'SIGTERM' ? /^close 1012 / : /^close 1006/, program.name)
  }
  await sleep(awayMs)
  server = await stage.serve(address)
  await ready(since)
  await tell(2)
  for (const { protocol, program } of clients) {
    const marks = program.messages().map(protocol.mark).filter((mark) => mark !== undefined)
    assert.deepEqual(marks, [1, 2], program.name)
  }
}

export const checks = {
  'every program is back after a server that was stopped and started': (stage) => comesBack(stage, 'SIGTERM', 0),
  // So long that the programs knock at a closed door, too.
  'every program is back after a server that was killed and stayed away': (stage) => comesBack(stage, 'SIGKILL', 2500),
}
