// Webhooks: receivers on Express and Flask that check X-Webhook-Signature by hand, two of them over JSON.stringify of the parsed
// body, and receivers on the public standardwebhooks libraries.
import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { OWNER, trade } from '../events.mjs'
import { here, sleep } from '../stage.mjs'

const PROGRAMS = {
  'Express, middleware': ['node', 'hook_middleware.cjs'],
  'Express, whole server': ['node', 'hook_server.cjs'],
  Flask: ['python3', 'hook_flask.py'],
  'standardwebhooks of npm': ['node', 'hook_standard.cjs'],
  'standardwebhooks of PyPI': ['python3', 'hook_standard.py'],
}
const EVENTS = ['trade.new', 'trade.close', 'trade.liquidation']
const KINDS = { open: 'trade.new', close: 'trade.close', liquidation: 'trade.liquidation' }
const CONFIG = '[webhooks]\nallow = ["127.0.0.0/8"]\n'

/**
 * Trades as publishers may write them: numbers in every form that JavaScript holds, keys in an order that it does not keep, text
 * that encoders disagree on. What is signed is JSON.stringify(JSON.parse(…)) of it.
 */
const AWKWARD = [
  String.raw`{"type":"trade.open","data":{"owner":"${OWNER}","marketSymbol":"Ünïcode-PERP 😀","side":"short","sizeUsd":1E+21,"leverage":0.1,"entryPrice":1.0e-7,"timestamp":"2025-01-15T10:30:00Z","collateral":-0.0,"note":"\u00fc\ud83d\ude00\u2028\u0001\/ \"\\ \u007f</script>"}}`,
  String.raw`{"type":"trade.close","data":{"z":1,"10":"ten","9":"nine","-1":"no index","01":"none either","a":{"2":[1.50,{"1":null,"b":[],"0":{}}],"x":true},"owner":"${OWNER}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":1.2345678901234568e20,"leverage":0.30000000000000004,"entryPrice":5e-324,"timestamp":"2025-01-15T10:30:00Z","z":2}}`,
  String.raw`{ "type" : "trade.liquidation" , "data" : { "owner" : "${OWNER}" , "marketSymbol" : "7" , "side" : "long" , "sizeUsd" : 1.7976931348623157e308 , "leverage" : 100.0 , "entryPrice" : 0.000001 , "timestamp" : "2025-01-15T10:30:00Z" , "pnl" : [ -12.50 , 1e-7 , 9007199254740991 , 1e2 ] , "__proto__" : { "a" : 1 } , "" : "" } }`,
]
/** What a receiver should be sent of a published text. */
const expected = (text) => {
  const { type, data } = JSON.parse(text)
  return JSON.stringify([KINDS[type.slice('trade.'.length)], data])
}
const got = (text) => {
  const { id, type, created, data } = JSON.parse(text)
  assert.match(id, /^evt_\w+$/)
  assert.ok(Math.abs(created - Date.now() / 1000) < 60, text)
  return JSON.stringify([type, data])
}

/** A server that may reach this machine, an elite account that watches OWNER, and what is asked of it. */
async function serving(stage) {
  const key = stage.key('watcher', 'elite')
  const publisher = stage.key('feed', 'free', 'publisher')
  stage.stentor('account', 'watch', 'watcher', OWNER)
  const { address } = await stage.serve('127.0.0.1:0', CONFIG)
  const ask = async (method, path, body) => {
    const options = { method, headers: { 'X-API-Key': key, 'Content-Type': 'application/json' } }
    const answer = await fetch(`http://${address}${path}`, { ...options, body: body && JSON.stringify(body) })
    const told = await answer.json()
    assert.ok(answer.ok && told.success, `${method} ${path}: ${answer.status} ${JSON.stringify(told)}`)
    return told
  }
  const publish = async (texts) => {
    const headers = { 'X-API-Key': publisher, 'Content-Type': 'application/x-ndjson' }
    const answer = await fetch(`http://${address}/api/events`, { method: 'POST', headers, body: texts.join('\n') })
    assert.equal(answer.status, 200, await answer.clone().text())
  }
  const webhook = async (port, path = '/webhook') =>
    (await ask('POST', '/api/webhooks', { url: `http://127.0.0.1:${port}${path}`, events: EVENTS })).webhook
  return { ask, publish, webhook }
}

/** A port that nothing listens on. */
const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => done(port))
    })
  })

/** Starts a receiver, and waits until it listens. */
async function receive(stage, program, port, secret) {
  const [command, file] = PROGRAMS[program]
  const env = { WEBHOOK_SECRET: secret, PYTHONDONTWRITEBYTECODE: '1' }
  const receiver = stage.run([command, join(here, 'programs', file), String(port)], { env })
  for (let tries = 0; tries < 200; tries += 1) {
    // Any answer will do, also that there is no such page.
    if (await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false)) return receiver
    await sleep(100)
  }
  throw new Error(`${program} does not listen: ${receiver.errors}`)
}

const verified = (receiver) =>
  receiver.lines.filter((line) => line.startsWith('verified ')).map((line) => line.slice('verified '.length))

/** Sends a request with exactly these headers and bytes; returns the answer's status. */
const replay = (port, rawHeaders, body) =>
  new Promise((done, failed) => {
    const headers = {}
    for (let at = 0; at < rawHeaders.length; at += 2) headers[rawHeaders[at]] = rawHeaders[at + 1]
    headers['Content-Length'] = String(body.length)
    const options = { host: '127.0.0.1', port, path: '/webhook', method: 'POST', headers, agent: false }
    request(options, (answer) => answer.resume().on('end', () => done(answer.statusCode)))
      .on('error', failed)
      .end(body)
  })

/** An endpoint that keeps what it is sent, byte for byte, and is content. */
async function recorder() {
  const posts = []
  const server = createServer((request, response) => {
    const pieces = []
    request.on('data', (piece) => pieces.push(piece))
    request.on('end', () => {
      posts.push({ headers: request.headers, rawHeaders: request.rawHeaders, body: Buffer.concat(pieces) })
      response.end('OK')
    })
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  return { posts, port: server.address().port, end: () => (server.close(), server.closeAllConnections()) }
}

async function until(what, fits) {
  for (const deadline = Date.now() + 20_000; !fits(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`no ${what}`)
  }
}

/** A header's value with its last character changed. */
const withChanged = (rawHeaders, name) => {
  const at = rawHeaders.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name) + 1
  assert.ok(at > 0, `no ${name} among ${rawHeaders}`)
  const last = rawHeaders[at].at(-1)
  return rawHeaders.with(at, rawHeaders[at].slice(0, -1) + (last === '1' ? '2' : '1'))
}

export const checks = {
  async 'every receiver accepts what is published, however awkward, and gets nothing else'(stage) {
    const { ask, publish, webhook } = await serving(stage)
    const receivers = []
    for (const program of Object.keys(PROGRAMS)) {
      const port = await freePort()
      const { id, secret } = await webhook(port)
      receivers.push({ id, receiver: await receive(stage, program, port, secret) })
    }
    const plain = Object.keys(KINDS).map((kind) => JSON.stringify(trade(kind, { collateral: 2884.71, n: kind })))
    const others = [trade('increase'), trade('open', { owner: 'somebodyElse' })].map((event) => JSON.stringify(event))
    const texts = [...plain, ...AWKWARD]
    await publish([...others, ...texts])
    const wanted = texts.map(expected).sort()
    for (const { id, receiver } of receivers) {
      await receiver.until('all trades', () => verified(receiver).length >= wanted.length)
      assert.deepEqual(verified(receiver).map(got).sort(), wanted, receiver.name)
      assert.equal(receiver.count('refused') + receiver.count('failed'), 0, receiver.name)
      const { deliveries } = await ask('GET', `/api/webhooks/${id}/deliveries?limit=20`)
      assert.equal(deliveries.length, wanted.length, receiver.name)
    }
    const chats = receivers[1].receiver.lines.filter((line) => line.startsWith('chat '))
    assert.equal(chats.length, 2)
    assert.ok(chats.some((line) => line.includes('🔴 SHORT Ünïcode-PERP 😀')), chats.join('\n'))
  },

  async 'every receiver accepts a delivery that is sent again as it was, and refuses one with a changed byte'(stage) {
    const { publish, webhook } = await serving(stage)
    const { posts, port: recording, end } = await recorder()
    try {
      const { id, secret } = await webhook(recording)
      await publish(AWKWARD)
      await until('delivery of all trades', () => posts.length >= AWKWARD.length)
      for (const { headers, body } of posts) {
        const text = body.toString()
        assert.equal(JSON.stringify(JSON.parse(text)), text, 'not as JavaScript writes it')
        assert.equal(headers['content-type'], 'application/json')
        assert.equal(headers['x-webhook-id'], id)
        assert.equal(headers['x-event-type'], JSON.parse(text).type)
        assert.equal(headers['x-delivery-id'], headers['webhook-id'])
      }
      assert.equal(new Set(posts.map(({ headers }) => headers['x-delivery-id'])).size, AWKWARD.length)
      for (const program of Object.keys(PROGRAMS)) {
        const port = await freePort()
        const receiver = await receive(stage, program, port, secret)
        const standard = program.startsWith('standardwebhooks')
        for (const { rawHeaders, body } of posts) {
          const good = await replay(port, rawHeaders, body)
          assert.ok(good === 200 || good === 204, `${program} answered ${good}`)
          // A letter of the owner, and the year of the trade's time: both leave the body JSON.
          for (const piece of [OWNER, '2025-01']) {
            const changed = Buffer.from(body)
            changed[changed.indexOf(piece) + 3] ^= 1
            assert.equal(await replay(port, rawHeaders, changed), 401, `${program}, changed in ${piece}`)
          }
          const signed = standard ? ['webhook-id', 'webhook-timestamp'] : ['x-webhook-signature']
          for (const name of signed) {
            assert.equal(await replay(port, withChanged(rawHeaders, name), body), 401, `${program}, changed ${name}`)
          }
        }
        receiver.end()
      }
    } finally {
      end()
    }
  },
}
