// Every program of the four protocols by wss://, with a certificate of an authority that was made for the check: nothing about
// the programs is different but the address and what they are told to trust.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { OWNER, alert, bot, message, price, trade } from '../events.mjs'
import { LIBRARIES, here } from '../stage.mjs'
import { plan as channelsPlan } from './channels.mjs'
import { plan as roomsPlan } from './rooms.mjs'

const MINT = 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v'
const MARKET = { type: 'market_data_update', topic: 'market:BTC_USD', data: { symbol: 'BTC_USD', price: 43250.5 } }

/** What is published, once for each protocol. */
const EVENTS = [trade('open'), alert(1), bot('bot_abc123', 0.15), price(MINT, 1.0001), MARKET]
const [TRADE, ALERT, , PRICE, ROOM] = EVENTS.keys()

/** An authority, and a certificate of it for this machine. */
function identity(folder) {
  const at = (name) => join(folder, name)
  const openssl = (...words) =>
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...words], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  openssl('-subj', '/CN=Authority of tests', '-keyout', at('ca.key'), '-out', at('ca.pem'), '-addext', 'keyUsage=critical,keyCertSign')
  openssl(
    ...['-subj', '/CN=stentor', '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-keyout', at('key.pem'), '-out', at('cert.pem')],
    ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'subjectAltName=IP:127.0.0.1'],
  )
  return { authority: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}

/** Publishes by https; returns the last event's number. */
function publish(address, authority, key, events) {
  const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
  return new Promise((done, failed) => {
    const asked = request(`https://${address}/api/events`, { method: 'POST', ca: readFileSync(authority), headers }, async (answer) => {
      let text = ''
      for await (const chunk of answer) text += chunk
      answer.statusCode === 200 ? done(JSON.parse(text).last_seq) : failed(new Error(text))
    })
    asked.on('error', failed)
    asked.end(JSON.stringify(events))
  })
}

const each = (files) => Object.keys(LIBRARIES).map((library) => [library, files[library] ?? files.others])

/**
 * Every program: the library it runs on, its file and words, what it says when it may be published to, and which event of EVENTS it
 * then prints, last.
 */
function programs(address, { key, token }) {
  const watchlist = `wss://${address}/ws/alerts?apiKey=${key}`
  const tiered = `wss://${address}/ws/alerts?api_key=${key}`
  const [channels, rooms] = [`wss://${address}/v1/ws`, `wss://${address}/ws`]
  const opened = (running) => running.line('open')
  const told = (type, number) => (running) => running.until(type, () => running.messages(type).length >= number)
  const json = JSON.stringify
  return [
    ...[['ws', 'emitter.mjs'], ['ws', 'onmessage.cjs'], ['websockets', 'listener.py']].map(([library, file]) => ({
      ...{ library, words: [file, watchlist], ready: opened, event: TRADE, prints: 'trade' },
    })),
    ...each({ websockets: ['session.py', watchlist, '{}'], others: ['watchlist.cjs', watchlist] }).map(([library, words]) => ({
      ...{ library, words, ready: opened, event: TRADE },
    })),
    ...each({ websockets: ['session.py', tiered, '{"heartbeat":["ping",25]}'], others: ['tiered.cjs', tiered] }).map(([library, words]) => ({
      ...{ library, words, ready: told('connected', 1), event: ALERT },
    })),
    ...each({ websockets: ['session.py', channels, json(channelsPlan(key))], others: ['channels.cjs', channels, key] }).map(
      ([library, words]) => ({ library, words, ready: told('subscribed', 3), event: PRICE }),
    ),
    ...each({ websockets: ['session.py', rooms, json(roomsPlan(token))], others: ['rooms.cjs', rooms, token] }).map(([library, words]) => ({
      ...{ library, words, ready: told('room_subscription', 4), event: ROOM, channel: 'market_data' },
    })),
    ...['ws', 'native'].map((library) => ({
      ...{ library, words: ['header.cjs', rooms, token], ready: told('room_subscription', 1), event: undefined },
    })),
    { library: 'ws', words: ['resuming.cjs', watchlist, '[]'], ready: opened, event: TRADE },
  ]
}

export const checks = {
  async 'every program of the four protocols gets its events by wss://'(stage) {
    const key = stage.key('fleet', 'elite', 'subscriber', 'bot:*')
    const publisher = stage.key('feed', 'free', 'publisher')
    const token = stage.stentor('token', 'mint', '--user', 'user_123')
    stage.stentor('account', 'watch', 'fleet', OWNER)
    const made = identity(stage.dataDir)
    const config = `[tls]\ncert = ${JSON.stringify(made.cert)}\nkey = ${JSON.stringify(made.key)}\n`
    const { address } = await stage.serve('127.0.0.1:0', config)
    const env = { NODE_EXTRA_CA_CERTS: made.authority, SSL_CERT_FILE: made.authority }
    const running = programs(address, { key, token }).map(({ library, words: [file, ...words], ...expected }) => {
      const { command, env: ofLibrary } = LIBRARIES[library]
      const program = stage.run([...command, join(here, 'programs', file), ...words], { env: { ...env, ...ofLibrary } })
      return { program, ...expected }
    })
    for (const { program, ready } of running) await ready(program)
    const first = (await publish(address, made.authority, publisher, EVENTS)) - EVENTS.length + 1
    for (const { program, event, channel, prints } of running) {
      if (event === undefined) continue
      const [seq, published] = [first + event, EVENTS[event]]
      if (prints === 'trade') {
        await program.line('trade')
        assert.equal(program.trades()[0][0], seq, program.name)
        continue
      }
      const expected = message(seq, published, channel)
      await program.message(expected.type, (got) => got.seq === seq)
      assert.deepEqual(program.messages().find((got) => got.seq === seq), expected, program.name)
    }
    for (const { program } of running) {
      assert.deepEqual([program.count('close'), program.count('error')], [0, 0], program.name)
    }
  },

  async 'a program that does not know the authority is not connected'(stage) {
    const key = stage.key('fleet', 'elite')
    const made = identity(stage.dataDir)
    const config = `[tls]\ncert = ${JSON.stringify(made.cert)}\nkey = ${JSON.stringify(made.key)}\n`
    const { address } = await stage.serve('127.0.0.1:0', config)
    const url = `wss://${address}/ws/alerts?apiKey=${key}`
    for (const [command, file] of [['node', 'emitter.mjs'], ['python3', 'listener.py']]) {
      const program = stage.run([command, join(here, 'programs', file), url])
      assert.match(await program.line('error'), /certificate/i, file)
    }
  },
}
