// Clients that come back with the number of what they had last, while a publisher goes on and the server is stopped or killed
// again and again: they miss nothing. Beside them curl polls.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { OWNER, alert, bot, trade } from '../events.mjs'
import { LIBRARIES, sleep } from '../stage.mjs'

const RESTARTS = 4
/** Requests that are answered between two ends of the server, at least. */
const REQUESTS = 40
const PATIENCE_MS = 30_000

/** Each request has one event for each protocol, in this order. */
const PROTOCOLS = {
  watchlist: { event: (mark) => trade('open', { mark }), mark: ({ data }) => data.mark },
  tiered: { event: (mark) => alert(1, { mark }), mark: ({ data }) => data.mark },
  channels: { event: (mark) => bot('bot_abc123', mark), mark: ({ data }) => data.profit },
  rooms: {
    event: (mark) => ({ type: 'market_data_update', topic: 'market:BTC_USD', data: { mark } }),
    mark: ({ data }) => data.mark,
  },
}
const NAMES = Object.keys(PROTOCOLS)

/** What each protocol's program is given: a URL, and the messages to begin with. */
const words = (address, key, token) => ({
  watchlist: [`ws://${address}/ws/alerts?apiKey=${key}`, []],
  tiered: [`ws://${address}/ws/alerts?api_key=${key}`, []],
  channels: [`ws://${address}/v1/ws`, [{ type: 'auth', apiKey: key, topics: ['bot:bot_abc123'] }]],
  rooms: [`ws://${address}/ws`, [{ type: 'auth', token }, { type: 'subscribe', channel: 'market:BTC_USD' }]],
})

/** Publishes for as long as it is let, as one does who wants every event to be there once: each has an id, and is sent until it is answered. */
class Publisher {
  /** Of each request, the number of its first event. */
  answered = []
  going = true

  constructor(address, key) {
    Object.assign(this, { url: `http://${address}/api/events`, key })
    this.done = this.#run()
  }

  async #run() {
    for (let mark = 0; this.going; mark++) {
      const events = NAMES.map((name) => ({ ...PROTOCOLS[name].event(mark), id: `${name}-${mark}` }))
      while (!(await this.#send(JSON.stringify(events)))) await sleep(20)
    }
  }

  async #send(body) {
    try {
      const headers = { 'X-API-Key': this.key, 'Content-Type': 'application/json', Connection: 'close' }
      const response = await fetch(this.url, { method: 'POST', headers, body })
      const answer = await response.json()
      if (response.ok) {
        assert.equal(answer.last_seq - answer.first_seq, NAMES.length - 1)
        this.answered.push(answer.first_seq)
      } else assert.ok([503, 504].includes(response.status), JSON.stringify(answer))
      return response.ok
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      return false
    }
  }

  async answers(count) {
    for (const deadline = Date.now() + PATIENCE_MS; this.answered.length < count; await sleep(10)) {
      assert.ok(Date.now() < deadline, `${this.answered.length} of ${count} requests were answered`)
    }
  }
}

/** Asks for what follows `next_since` again and again; a server that is away is asked once more. */
class Poller {
  messages = []
  going = true

  constructor(address, key) {
    Object.assign(this, { url: `http://${address}/api/events?topic=wallet:*&topic=alerts`, key })
    this.done = this.#run()
  }

  async #run() {
    let since = 0
    while (this.going) {
      const page = await this.#ask(since)
      if (page) {
        this.messages.push(...page.gaps, ...page.events)
        since = page.next_since
        this.last = page.last_seq
      }
      await sleep(page?.events.length > 0 ? 0 : 50)
    }
  }

  /** Nothing where the server is away. */
  #ask(since) {
    const words = ['--silent', '--fail', '--max-time', '10', '-H', `X-API-Key: ${this.key}`, `${this.url}&since=${since}`]
    return new Promise((done, fail) => {
      execFile('curl', words, (error, stdout) => {
        if (error?.code === 'ENOENT') return fail(error)
        done(error ? undefined : JSON.parse(stdout))
      })
    })
  }

  async until(what, find) {
    for (const deadline = Date.now() + PATIENCE_MS; !find(this.messages); await sleep(50)) {
      assert.ok(Date.now() < deadline, `curl: no ${what}`)
    }
  }
}

async function missesNothing(stage, signal) {
  const key = stage.key('fleet', 'elite', 'subscriber', 'bot:*')
  const publisherKey = stage.key('feed', 'free', 'publisher')
  const token = stage.stentor('token', 'mint', '--user', 'user_123')
  stage.stentor('account', 'watch', 'fleet', OWNER)
  let server = await stage.serve()
  const { address } = server
  const clients = Object.entries(words(address, key, token)).flatMap(([protocol, [url, opening]]) =>
    Object.keys(LIBRARIES).map((library) => {
      const file = library === 'websockets' ? 'resuming.py' : 'resuming.cjs'
      const program = stage.program(library, file, url, JSON.stringify(opening))
      return { name: program.name, protocols: [protocol], until: (...words) => program.until(...words), messages: () => program.messages(), program }
    }),
  )
  const poller = new Poller(address, key)
  clients.push({ name: 'curl', protocols: ['watchlist', 'tiered'], until: (...words) => poller.until(...words), messages: () => poller.messages })
  for (const { program } of clients) await program?.line('open')
  const publisher = new Publisher(address, publisherKey)
  for (let restart = 1; restart <= RESTARTS; restart++) {
    await publisher.answers(restart * REQUESTS)
    server.child.kill(signal)
    await server.exit
    server = await stage.serve(address)
  }
  await publisher.answers((RESTARTS + 1) * REQUESTS)
  publisher.going = false
  await publisher.done

  const { answered } = publisher
  for (const { name, protocols, until, messages, program } of clients) {
    const last = answered.at(-1) + Math.max(...protocols.map((protocol) => NAMES.indexOf(protocol)))
    await until(`event ${last}`, () => messages().some(({ type, seq, data }) => seq === last && data && type !== 'gap'), PATIENCE_MS)
    const events = messages().filter(({ type, data }) => data !== undefined && type !== 'gap')
    const gaps = messages().filter(({ type }) => type === 'gap')
    const numbers = events.map(({ seq }) => seq)
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), `${name}: each once, in order`)
    const marks = new Map(events.map((event) => [event.seq, event]))
    const expected = answered.flatMap((first, mark) => protocols.map((protocol) => [first + NAMES.indexOf(protocol), protocol, mark]))
    for (const [seq, protocol, mark] of expected) {
      assert.ok(marks.has(seq), `${name}: event ${seq} was acknowledged, and did not come`)
      assert.equal(PROTOCOLS[protocol].mark(marks.get(seq)), mark, name)
    }
    if (program) assert.ok(program.count('open') > RESTARTS, `${name} came back each time`)
    if (signal === 'SIGTERM') {
      assert.deepEqual([numbers.length, gaps], [expected.length, []], name)
    } else {
      // The numbers that a killed server might have given out are told; and nothing that came lies within them.
      assert.ok(gaps.length >= RESTARTS, `${name}: ${gaps.length} gaps`)
      for (const { from, to, reason } of gaps) {
        assert.equal(reason, 'crash', name)
        assert.ok(!expected.some(([seq]) => from <= seq && seq <= to), `${name}: a gap from ${from} to ${to}`)
      }
    }
  }
  poller.going = false
  await poller.done
}

export const checks = {
  'whoever comes back with its last number misses nothing of a server that is stopped and started': (stage) =>
    missesNothing(stage, 'SIGTERM'),
  'whoever comes back with its last number misses nothing of a server that is killed': (stage) => missesNothing(stage, 'SIGKILL'),
}
