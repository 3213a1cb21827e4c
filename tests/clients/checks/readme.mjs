// The clients that README.md has for each stream, as they stand there but for the server's address: each gets its events, is back
// after a server that was stopped and after one that was killed, and gets what was published meanwhile, once.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import { OWNER, alert, price, trade } from '../events.mjs'
import { here, sleep } from '../stage.mjs'

const PRINTED_ADDRESS = '127.0.0.1:5001'
/** A client that knocked in vain a few times waits for some seconds. */
const PATIENCE_MS = 60_000
/** From its start until a client that says nothing has lost its session, in any protocol. */
const OWED_MS = 80_000
/** When clients are told to come back: later than any would by itself, the first time. */
const RESTART_MS = 3_000
const CONFIG = `[server]\nrestart_seconds = ${RESTART_MS / 1000}\n`
const MINT = 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v'

/** An event that holds `mark`, for whoever has it. */
const EVENTS = {
  trade: (mark) => trade('open', { mark }),
  alert: (mark) => alert(1, { mark }),
  price: (mark) => ({ ...price(MINT, 1.0001), data: { ...price(MINT, 1.0001).data, mark } }),
  market: (mark) => ({ type: 'market_data_update', topic: 'market:BTC_USD', data: { mark } }),
}

/** Which of them each client prints. */
const CLIENTS = { watchlist: 'trade', tiered: 'alert', channels: 'price', rooms: 'market', polling: 'alert', sse: 'alert' }

/** Code blocks of README.md whose first line names a client. */
function printed() {
  const text = readFileSync(join(here, '../../README.md'), 'utf8')
  const blocks = [...text.matchAll(/^```(js|python)\n(?:\/\/|#) client: (\w+)\n([^]*?)^```$/gm)]
  return Object.fromEntries(blocks.map(([, language, name, code]) => [name, { language, code }]))
}

/** Writes a client down, for this server, and starts it. */
function start(stage, name, { language, code }, address, env) {
  assert.ok(code.includes(PRINTED_ADDRESS), `${name} names the server`)
  const file = join(stage.dataDir, `${name}.${language === 'js' ? 'cjs' : 'py'}`)
  writeFileSync(file, code.replaceAll(PRINTED_ADDRESS, address))
  const more = { NODE_PATH: join(here, 'node_modules'), no_proxy: '127.0.0.1' }
  return stage.run([language === 'js' ? 'node' : 'python3', file], { env: { ...env, ...more } })
}

/** The number and the mark of each event that a client printed. */
const events = (client) =>
  client.lines.flatMap((line) => {
    const [, seq, mark] = line.match(/^(\d+) .*"mark": ?(\d+)/) ?? []
    return mark === undefined ? [] : [[Number(seq), Number(mark)]]
  })

/** A server, and keys and a token for all clients. */
async function serving(stage) {
  const KEY = stage.key('fleet', 'elite')
  const publisher = stage.key('feed', 'free', 'publisher')
  const TOKEN = stage.stentor('token', 'mint', '--user', 'user_123')
  stage.stentor('account', 'watch', 'fleet', OWNER)
  return { server: await stage.serve('127.0.0.1:0', CONFIG), publisher, env: { KEY, TOKEN } }
}

export const long = {
  async 'the clients in README.md give the sign of life that they owe'(stage) {
    const { server, env } = await serving(stage)
    const [blocks, began] = [printed(), performance.now()]
    const started = ['watchlist', 'tiered', 'channels', 'rooms'].map((name) => start(stage, name, blocks[name], server.address, env))
    const { language, code } = blocks.tiered
    assert.ok(code.includes("ws.send('ping')"))
    const silent = start(stage, 'silent', { language, code: code.replace("ws.send('ping')", '{}') }, server.address, env)
    const lost = (lines) => lines.filter((line) => line.includes('closed with 4408')).length
    await server.until('end of the silent one', (lines) => lost(lines) > 0, 50_000)
    silent.end()
    // The channels protocol waits longest: 75 s from the session's beginning.
    await sleep(Math.max(0, began + OWED_MS - performance.now()))
    assert.equal(lost(server.lines), 1, server.lines.join('\n'))
    for (const client of started) assert.equal(client.child.exitCode, null, `${client.name} has ended:\n${client.errors}`)
  },
}

export const checks = {
  async 'the rooms client resumes from where all of its rooms are, wherever its connection is lost'(stage) {
    const event = (seq) => ({ type: 'notification', channel: 'notifications', seq, data: { mark: seq } })
    const greeting = (seq) => ({ type: 'connection', status: 'connected', userId: 'user_123', seq })
    const room = (seq) => ({ type: 'room_subscription', channel: 'market:BTC_USD', status: 'subscribed', seq })
    /** What each connection is told before it is lost, and the number that the next one has to name. */
    const sessions = [
      // Where the first session began, and no later: it was not in its market yet.
      [[greeting(41), event(42), event(43)], '41'],
      // The user's own events come again before the market's begin to.
      [[greeting(41), event(42), event(43), event(50)], '41'],
      [[greeting(41), event(42), room(41), event(45)], '45'],
      [[greeting(45), room(45), { type: 'gap', from: 46, to: 60, reason: 'crash' }], '60'],
      [[greeting(60), room(60), { type: 'gap', from: 61, to: 70, reason: 'latest' }], '60'],
      [[greeting(60), { type: 'reconnect', after_ms: 10, since: 99 }], '60'],
      [[greeting(60), room(60), { type: 'reconnect', after_ms: 10, since: 62 }], '62'],
    ]
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    try {
      await new Promise((listens) => server.on('listening', listens))
      const named = []
      const all = new Promise((done) => {
        server.on('connection', (socket, request) => {
          named.push(new URL(request.url, 'ws://server').searchParams.get('since'))
          if (named.length > sessions.length) return done()
          const [said] = sessions[named.length - 1]
          let heard = 0
          socket.on('message', () => {
            // Behind `auth` and `subscribe`.
            if (++heard < 2) return
            for (const message of said) socket.send(JSON.stringify(message))
            socket.close(1012)
          })
        })
      })
      start(stage, 'rooms', printed().rooms, `127.0.0.1:${server.address().port}`, { TOKEN: 'a.b.c' })
      await Promise.race([all, sleep(PATIENCE_MS)])
      assert.deepEqual(named, [null, ...sessions.map(([, since]) => since)])
    } finally {
      for (const socket of server.clients) socket.terminate()
      server.close()
    }
  },
  async 'the clients in README.md get their events, and what was published while the server was away, once'(stage) {
    let { server, publisher, env } = await serving(stage)
    const { address } = server
    const blocks = printed()
    assert.deepEqual(Object.keys(blocks).sort(), Object.keys(CLIENTS).sort())
    const clients = Object.keys(CLIENTS).map((name) => [name, start(stage, name, blocks[name], address, env)])
    const expected = new Map(clients.map(([name]) => [name, []]))
    /** Publishes one event for each stream under `mark`. */
    const publish = (at, mark) => {
      const kinds = Object.keys(EVENTS)
      const first = stage.publish(at, publisher, kinds.map((kind) => EVENTS[kind](mark))) - kinds.length + 1
      for (const [name] of clients) expected.get(name).push([first + kinds.indexOf(CLIENTS[name]), mark])
    }
    const arrived = async () => {
      for (const [name, client] of clients) {
        const mine = expected.get(name)
        await client.until(`event ${mine.length} of ${name}`, () => events(client).length >= mine.length, PATIENCE_MS)
        assert.deepEqual(events(client), mine, name)
      }
    }

    // Nobody says when it is subscribed, in words that all have: so each is published to until it has something.
    let mark = 0
    for (const [name, client] of clients) {
      for (const deadline = Date.now() + PATIENCE_MS; events(client).length === 0; ) {
        assert.ok(Date.now() < deadline, `${name} got nothing:\n${client.lines.join('\n')}\n${client.errors}`)
        publish(address, ++mark)
        await client.until('event', () => events(client).length > 0, 1_000).catch(() => {})
      }
    }
    // Whoever came late has the later ones only; all have the last.
    for (const [name, client] of clients) {
      await client.until(`mark ${mark}`, () => events(client).some(([, got]) => got === mark), PATIENCE_MS)
      expected.set(name, expected.get(name).slice(-events(client).length))
    }
    await arrived()

    for (const signal of ['SIGTERM', 'SIGKILL']) {
      const [killed, before] = [performance.now(), new Map(clients.map(([name, client]) => [name, client.lines.length]))]
      server.child.kill(signal)
      await server.exit
      // Who is told knocks when it was told to, and not before. A poll is told nothing.
      for (const [name, after] of await Promise.all(
        clients.map(async ([name, client]) => {
          const knocks = (lines) => lines.slice(before.get(name)).some((line) => /^(not connected|no answer):/.test(line))
          await client.until('knock at a closed door', knocks, PATIENCE_MS)
          return [name, performance.now() - killed]
        }),
      )) {
        const told = signal === 'SIGTERM' && name !== 'polling'
        assert.ok(!told || after >= RESTART_MS, `${name} was back after ${after} ms, before it was told to`)
      }
      // At another port, so that no client can be there.
      const elsewhere = await stage.serve()
      publish(elsewhere.address, ++mark)
      publish(elsewhere.address, ++mark)
      elsewhere.child.kill('SIGTERM')
      await elsewhere.exit
      server = await stage.serve(address, CONFIG)
      await arrived()
      publish(address, ++mark)
      await arrived()
      for (const [name, client] of clients) {
        // An orderly end loses nothing; numbers that a killed server might have given out are told.
        const gaps = client.lines.filter((line) => /^gap \d+ \d+ crash$/.test(line)).length
        assert.equal(gaps, signal === 'SIGTERM' ? 0 : 1, `${name} after ${signal}:\n${client.lines.join('\n')}`)
      }
    }
  },
}
