// Holds a built `stentor` against the public client libraries. Usage: node run.mjs STENTOR
//
//   stentor serve | demo  ──▶  emitter.mjs, onmessage.cjs (npm ws), listener.py (PyPI websockets)  ──▶  lines, compared
//   stentor publish  ──▶
//
// Each check starts a server of its own; they run side by side, because the heartbeat takes a minute. The last line is
// `N passed, M failed`.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const stentor = resolve(process.argv[2] ?? 'target/debug/stentor')
const SOON_MS = 15_000

/** The three programs, by the words that start them. */
const PROGRAMS = {
  'ws, event emitter': ['node', join(here, 'emitter.mjs')],
  'ws, browser style': ['node', join(here, 'onmessage.cjs')],
  websockets: ['python3', join(here, 'listener.py')],
}

/** A process whose lines are kept and can be waited for. Ends with the check that started it. */
class Running {
  lines = []
  #wakers = new Set()

  constructor(words, stream) {
    this.name = words.map((word) => word.split('/').pop()).join(' ')
    this.child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exit = new Promise((done) => this.child.on('exit', (code) => done(code)))
    this.errors = ''
    for (const name of ['stdout', 'stderr']) {
      createInterface({ input: this.child[name] }).on('line', (line) => {
        if (name !== stream) this.errors += `${line}\n`
        else this.lines.push(line)
        this.#wakers.forEach((wake) => wake())
      })
    }
  }

  /** Waits until `find`, given all lines, returns something. */
  async until(what, find, patienceMs = SOON_MS) {
    const deadline = Date.now() + patienceMs
    for (;;) {
      const found = find(this.lines)
      if (found) return found
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`${this.name}: no ${what}; it said:\n${this.lines.join('\n')}\n${this.errors}`)
      await new Promise((wake) => {
        const timer = setTimeout(() => done(), left)
        const done = () => (clearTimeout(timer), this.#wakers.delete(done), wake())
        this.#wakers.add(done)
      })
    }
  }

  line(start, patienceMs) {
    return this.until(`line "${start}"`, (lines) => lines.find((line) => line.startsWith(start)), patienceMs)
  }

  trades() {
    return this.lines.filter((line) => line.startsWith('trade ')).map((line) => JSON.parse(line.slice('trade '.length)))
  }
}

/** What one check uses: a data directory, processes. */
class Stage {
  #processes = []
  dataDir = mkdtempSync(join(tmpdir(), 'stentor-clients-'))

  run(words, stream = 'stdout') {
    const process = new Running(words, stream)
    this.#processes.push(process)
    return process
  }

  /** Runs the command line to its end and returns what it printed. */
  stentor(...words) {
    const { status, stdout, stderr } = spawnSync(stentor, ['--data-dir', this.dataDir, ...words], { encoding: 'utf8' })
    assert.equal(status, 0, `stentor ${words.join(' ')}: ${stderr}`)
    return stdout.trim()
  }

  /** An account with a key, in a directory on which no server runs yet. */
  key(account, tier, role = 'subscriber') {
    this.stentor('account', 'create', account, '--tier', tier)
    return this.stentor('key', 'create', account, '--role', role)
  }

  async serve() {
    const server = this.run([stentor, '--data-dir', this.dataDir, 'serve', '--listen', '127.0.0.1:0'], 'stderr')
    const line = await server.line('stentor listens on ')
    server.address = line.match(/listens on ([^,]+),/)[1]
    return server
  }

  listen(program, address, key) {
    return this.run([...PROGRAMS[program], `ws://${address}/ws/alerts?apiKey=${key}`])
  }

  /** All three programs, connected. */
  async listenWithAll(address, key) {
    const listeners = Object.keys(PROGRAMS).map((program) => this.listen(program, address, key))
    for (const listener of listeners) await listener.line('open')
    return listeners
  }

  /** Publishes events from a file; returns the last one's number. */
  publish(address, key, events) {
    const file = join(this.dataDir, 'events.ndjson')
    writeFileSync(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''))
    return Number(this.stentor('publish', file, '--url', `http://${address}`, '--key', key))
  }

  end() {
    this.#processes.forEach((process) => process.child.kill('SIGKILL'))
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

const OWNER = 'DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump'

const trade = (tradeType, more = {}) => ({
  type: `trade.${tradeType}`,
  data: {
    owner: OWNER,
    marketSymbol: 'SOL-PERP',
    side: 'long',
    sizeUsd: 15000.5,
    leverage: 5.2,
    entryPrice: 185.42,
    timestamp: '2025-01-15T10:30:00Z',
    ...more,
  },
})

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

const checks = {
  async 'a published file is printed by every program, watched wallets only'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await stage.listenWithAll(server.address, subscriber)
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
    const listeners = await stage.listenWithAll(server.address, subscriber)
    const last = stage.publish(server.address, publisher, Array.from({ length: 2000 }, () => trade('open')))
    for (const listener of listeners) {
      await listener.until('2,000 trades', () => listener.trades().length >= 2000, 30_000)
      assert.deepEqual(listener.trades().map(([seq]) => seq), Array.from({ length: 2000 }, (_, at) => last - 1999 + at))
    }
  },

  async 'the demo prints a key whose stream every program reads'(stage) {
    const demo = stage.run([stentor, '--data-dir', stage.dataDir, 'demo', '--rate', '50', '--listen', '127.0.0.1:0'])
    const key = (await demo.line('subscriber key')).split(/\s+/).pop()
    const address = (await demo.line("Stentor's demo is on")).match(/on ([^,]+),/)[1]
    for (const listener of await stage.listenWithAll(address, key)) {
      await listener.until('30 trades', () => listener.trades().length >= 30)
      listener.trades().forEach(([seq, tradeType, owner, market, side, size, leverage, price, time], at, all) => {
        assert.ok(at === 0 || seq === all[at - 1][0] + 1, `${listener.name}: ${seq} after ${all[at - 1]}`)
        assert.ok(['open', 'increase', 'close', 'liquidation'].includes(tradeType) && ['long', 'short'].includes(side))
        assert.ok([owner, market].every((text) => typeof text === 'string') && !Number.isNaN(Date.parse(time)))
        assert.ok([size, leverage, price].every((number) => typeof number === 'number' && number >= 0))
      })
    }
  },

  async 'an offer of permessage-deflate is declined, and all works without'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    // Both libraries offer it unless told otherwise.
    for (const listener of await stage.listenWithAll(server.address, subscriber)) {
      assert.equal(await listener.line('open'), 'open ""', listener.name)
    }
    assert.ok(stage.publish(server.address, publisher, [trade('open')]) > 0)
  },

  async 'an added owner reaches programs that are connected already'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await stage.listenWithAll(server.address, subscriber)
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

  async 'pings are answered by the libraries, and sockets live past the deadline of those that answer none'(stage) {
    const { server, subscriber, publisher } = await serving(stage)
    const listeners = await stage.listenWithAll(server.address, subscriber)
    const emitter = listeners[0]
    await emitter.until('third ping', (lines) => lines.filter((line) => line === 'ping').length >= 3, 65_000)
    // Whoever had answered none would have been closed at the third ping, 60 s after it came at the latest.
    await new Promise((wake) => setTimeout(wake, Math.max(0, 62_000 - performance.now())))
    const seq = stage.publish(server.address, publisher, [trade('close')])
    for (const listener of listeners) {
      await listener.line('trade')
      assert.deepEqual(listener.trades(), [printed(seq, trade('close'))], listener.name)
      assert.ok(!listener.lines.some((line) => line.startsWith('close')), listener.name)
    }
  },

  async 'a server that stops says 1012'(stage) {
    const { server, subscriber } = await serving(stage)
    const listeners = await stage.listenWithAll(server.address, subscriber)
    server.child.kill('SIGTERM')
    for (const listener of listeners) assert.match(await listener.line('close'), /^close 1012 /, listener.name)
    assert.equal(await server.exit, 0)
  },

  async 'a program that closes is answered with its own code'(stage) {
    const { server, subscriber } = await serving(stage)
    for (const listener of await stage.listenWithAll(server.address, subscriber)) {
      listener.child.kill('SIGTERM')
      assert.match(await listener.line('close'), /^close 1000/, listener.name)
    }
  },
}

for (const program of Object.keys(PROGRAMS)) {
  checks[`a tier that is too low shows 4403 and a reason (${program})`] = async (stage) => {
    const key = stage.key('small', 'pro')
    const server = await stage.serve()
    const line = await stage.listen(program, server.address, key).line('close')
    assert.match(line, /^close 4403 .*elite/)
    // The second time within a minute it is refused before the upgrade.
    assert.match(await stage.listen(program, server.address, key).line('error'), /403/)
  }
  checks[`a bad key shows 401 (${program})`] = async (stage) => {
    const server = await stage.serve()
    assert.match(await stage.listen(program, server.address, 'stn_unknown').line('error'), /401/)
  }
}

let [passed, failed] = [0, 0]
await Promise.all(
  Object.entries(checks).map(async ([name, check]) => {
    const stage = new Stage()
    try {
      await check(stage)
      passed += 1
      console.log(`ok      ${name}`)
    } catch (error) {
      failed += 1
      console.log(`FAILED  ${name}\n${error.stack}`)
    } finally {
      stage.end()
    }
  }),
)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
