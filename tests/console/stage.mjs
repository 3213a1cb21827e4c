// What the browser's checks stand on: the real server with traffic on it, and a browser that tells what goes wrong in a page.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import WebSocket from 'ws'

export const SOON_MS = 20_000
export const OWNER = 'DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump'
export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms))

const stentor = resolve(process.argv[2] ?? 'target/debug/stentor')
const shots = resolve(dirname(fileURLToPath(import.meta.url)), '../../target/console')
const CHROMIUM = '/usr/bin/chromium'

/** Waits until `find` returns something. */
export async function until(what, find, patienceMs = SOON_MS) {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const found = await find()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`no ${what} within ${patienceMs / 1000} s`)
    await sleep(50)
  }
}

export class Server {
  #dataDir = mkdtempSync(join(tmpdir(), 'stentor-console-'))
  #child
  #said = ''

  constructor() {
    writeFileSync(join(this.#dataDir, 'stentor.toml'), '[webhooks]\nallow = ["127.0.0.0/8"]\n')
  }

  /** Runs the command line to its end and returns what it printed. */
  stentor(...words) {
    const { status, stdout, stderr } = spawnSync(stentor, ['--data-dir', this.#dataDir, ...words], { encoding: 'utf8' })
    assert.equal(status, 0, `stentor ${words.join(' ')}: ${stderr}`)
    return stdout.trim()
  }

  key(account, tier, role) {
    this.stentor('account', 'create', account, '--tier', tier)
    return this.stentor('key', 'create', account, '--role', role)
  }

  /** Starts it, where it was before if it was somewhere. */
  async start() {
    const words = ['--data-dir', this.#dataDir, 'serve', '--shards', '3', '--listen', this.address ?? '127.0.0.1:0']
    this.#child = spawn(stentor, [...words, '--config', join(this.#dataDir, 'stentor.toml')], { stdio: ['ignore', 'ignore', 'pipe'] })
    createInterface({ input: this.#child.stderr }).on('line', (line) => (this.#said += `${line}\n`))
    this.#said = ''
    const address = () => this.#said.match(/stentor listens on ([^,]+),/)?.[1]
    this.address = await until('server', address).catch((error) => {
      throw new Error(`${error.message}: ${this.#said}`)
    })
  }

  stop() {
    const ended = new Promise((done) => this.#child.on('exit', done))
    this.#child.kill('SIGTERM')
    return ended
  }

  async request(method, path, key, body) {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
    const answer = await fetch(`http://${this.address}${path}`, { method, headers, body: body && JSON.stringify(body) })
    const json = await answer.json()
    assert.ok(answer.ok, `${method} ${path}: ${JSON.stringify(json)}`)
    return json
  }

  end() {
    this.#child?.kill('SIGKILL')
    rmSync(this.#dataDir, { recursive: true, force: true })
  }
}

export const trade = (owner = OWNER, more = {}) => ({
  type: 'trade.open',
  data: { owner, marketSymbol: 'SOL-PERP', side: 'long', sizeUsd: 15000.5, leverage: 5.2, entryPrice: 185.42, timestamp: '2025-01-15T10:30:00Z', ...more },
})
export const alert = (id, more = {}) => ({ type: 'alert', data: { id, side: 'BUY', entry_price: 0.42, usdc_value: 2100 + id, event_title: 'Will it rain in “São Paulo”? ☂', ...more } })
const price = (mint, usd) => ({ type: 'price_update', topic: `price:${mint}`, data: { mint, price: Number(usd.toFixed(2)) } })

/** Clients, publishers and an endpoint that are there all the time. */
export class Traffic {
  #sockets = []
  #timers = []
  #count = 0

  constructor(server, keys) {
    Object.assign(this, { server, keys })
  }

  async begin() {
    this.sink = createServer((request, answer) => {
      request.resume()
      request.on('end', () => answer.writeHead(request.url === '/broken' ? 500 : 200).end())
    })
    await new Promise((done) => this.sink.listen(0, '127.0.0.1', done))
    const at = `http://127.0.0.1:${this.sink.address().port}`
    for (const path of ['/trades', '/broken']) {
      await this.server.request('POST', '/api/webhooks', this.keys.alice, { url: at + path, events: ['trade.new', 'trade.close'] })
    }
    this.connect()
    this.#timers.push(setInterval(() => this.#publish().catch(() => {}), 100))
    // What the tiered protocol asks of its clients.
    const ping = (socket) => socket.readyState === WebSocket.OPEN && socket.url.includes('api_key=') && socket.send('ping')
    this.#timers.push(setInterval(() => this.#sockets.forEach(ping), 10_000))
  }

  /** Opens clients of several kinds; they stay away once the server has gone. */
  connect() {
    const base = `ws://${this.server.address}`
    const open = (path, first) => {
      const socket = new WebSocket(base + path)
      socket.on('error', () => {})
      if (first) socket.on('open', () => first.forEach((message) => socket.send(JSON.stringify(message))))
      this.#sockets.push(socket)
    }
    for (let n = 0; n < 24; n += 1) open(`/ws/alerts?apiKey=${this.keys.alice}`)
    for (let n = 0; n < 16; n += 1) open(`/ws/alerts?api_key=${this.keys.bob}`)
    for (let n = 0; n < 9; n += 1) {
      const topic = { type: 'subscribe', channel: 'price', mint: `mint-${n % 3}` }
      open('/v1/ws', [{ type: 'auth', apiKey: this.keys.bob }, topic])
    }
    // It is sent events and never reads.
    const stalled = new WebSocket(`${base}/ws/alerts?api_key=${this.keys.alice}`)
    stalled.on('error', () => {})
    stalled.on('open', () => stalled._socket.pause())
    this.#sockets.push(stalled)
  }

  async #publish() {
    const n = (this.#count += 1)
    const wave = 1 + Math.round(6 + 6 * Math.sin(n / 30))
    const events = Array.from({ length: wave }, (_, i) => price(`mint-${i % 4}`, 1 + n / 100))
    events.push(trade(OWNER, { entryPrice: 180 + (n % 50) / 10 }), alert(n))
    if (n < 12) events.push(alert(n, { pad: 'x'.repeat(50_000) }))
    await this.publish(events)
  }

  publish(events) {
    return this.server.request('POST', '/api/events', this.keys.feed, events)
  }

  end() {
    this.#timers.forEach(clearInterval)
    this.#sockets.forEach((socket) => socket.terminate())
    this.sink?.close()
    this.sink?.closeAllConnections()
  }
}

/** Whether a socket was opened, and by which code it was closed. */
export function watch(address, key) {
  const socket = new WebSocket(`ws://${address}/ws/alerts?apiKey=${key}`)
  const watched = { opened: false, code: undefined, end: () => socket.terminate() }
  socket.on('open', () => (watched.opened = true))
  socket.on('close', (code) => (watched.code = code))
  socket.on('error', () => {})
  return watched
}

export async function openBrowser() {
  assert.ok(existsSync(CHROMIUM), `the console's checks need ${CHROMIUM}: apt-get install chromium`)
  mkdirSync(shots, { recursive: true })
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run']
  return chromium.launch({ executablePath: CHROMIUM, args })
}

/** A page of a certain size, which remembers what its console said and what was loaded from elsewhere. */
export class Visit {
  complaints = []
  /** What may go wrong at the moment: statuses, or `offline`. */
  expected = new Set()

  static async open(browser, server, { width, scheme }) {
    const context = await browser.newContext({
      viewport: { width, height: width < 700 ? 844 : 900 }, colorScheme: scheme, deviceScaleFactor: width < 700 ? 2 : 1, hasTouch: width < 700, reducedMotion: 'reduce',
    })
    const visit = new Visit()
    Object.assign(visit, { context, server, width, scheme, page: await context.newPage() })
    visit.page.setDefaultTimeout(SOON_MS)
    visit.#listen()
    await visit.page.goto(`http://${server.address}/console`)
    return visit
  }

  #listen() {
    this.page.on('pageerror', (error) => this.complaints.push(error.stack))
    this.page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return
      const text = message.text()
      const status = text.match(/status of (\d+)/)?.[1]
      const kind = status ?? (text.startsWith('Failed to load resource') ? 'offline' : undefined)
      if (!this.expected.has(kind)) this.complaints.push(`${text} (${message.location().url})`)
    })
    this.page.on('request', (request) => {
      const url = request.url()
      if (!url.startsWith(`http://${this.server.address}/`) && !url.startsWith('data:')) this.complaints.push(`loaded from elsewhere: ${url}`)
      if (url.includes('stn_')) this.complaints.push(`a key in an address: ${url}`)
    })
  }

  async enter(key) {
    await this.page.getByLabel('Admin key').fill(key)
    await this.page.getByRole('button', { name: 'Open the console' }).click()
  }

  async view(name) {
    await this.page.getByRole('navigation').getByRole('link', { name }).click()
  }

  state(words) {
    return this.page.locator('.state', { hasText: words }).waitFor()
  }

  /** A picture to be looked at, of a page that fits its width. */
  async shoot(name) {
    const { page, width, scheme } = this
    const overflow = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth)
    assert.ok(overflow <= 0, `${name} at ${width} px is ${overflow} px too wide`)
    await page.screenshot({ path: join(shots, `${name}-${width}-${scheme}.png`), fullPage: true })
  }

  /** Ends it; it fails where the page complained. */
  async end() {
    await this.context.close()
    assert.deepEqual(this.complaints, [], 'the page complains')
  }
}
