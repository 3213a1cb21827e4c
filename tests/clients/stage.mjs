// What a check uses: a data directory, the `stentor` that is tested, processes whose lines are kept.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
const stentor = resolve(process.argv[2] ?? 'target/debug/stentor')
const SOON_MS = 20_000

// A program may run elsewhere than here.
if (process.env.PYTHONPATH) process.env.PYTHONPATH = process.env.PYTHONPATH.split(':').map((path) => resolve(path)).join(':')

/** Since this run began. Heartbeats take longest, so whoever waits for one starts at once. */
export const sinceStart = () => performance.now()
export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms))

/** A process whose lines are kept and can be waited for. Ends with the check that started it. */
export class Running {
  lines = []
  #wakers = new Set()

  /**
   * `stream` is the one whose lines are kept. A `pasted` process has an open input, as on a terminal, and ends with all that it started.
   */
  constructor(words, { stream = 'stdout', env = {}, cwd, pasted = false } = {}) {
    this.name = words.map((word) => word.split('/').pop()).join(' ').slice(0, 120)
    const stdio = [pasted ? 'pipe' : 'ignore', 'pipe', 'pipe']
    this.child = spawn(words[0], words.slice(1), { stdio, cwd, detached: pasted, env: { ...process.env, ...env } })
    this.pasted = pasted
    // Not at `exit`: what it said last may be on its way still.
    this.exit = new Promise((done) => this.child.on('close', (code) => done(code)))
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

  count(start) {
    return this.lines.filter((line) => line.startsWith(start)).length
  }

  /** What a program of the watchlist printed of each trade. */
  trades() {
    return this.lines.filter((line) => line.startsWith('trade ')).map((line) => JSON.parse(line.slice('trade '.length)))
  }

  /** Every message that a program printed, of these types where there are any. */
  messages(...types) {
    const texts = this.lines.filter((line) => line.startsWith('message ')).map((line) => line.slice('message '.length))
    return texts.map((text) => JSON.parse(text)).filter(({ type }) => types.length === 0 || types.includes(type))
  }

  /** Waits for a message that `fits`. */
  message(what, fits, patienceMs) {
    return this.until(`message: ${what}`, () => this.messages().find(fits), patienceMs)
  }

  end() {
    try {
      process.kill(this.pasted ? -this.child.pid : this.child.pid, 'SIGKILL')
    } catch (error) {
      // It has ended already.
      if (error.code !== 'ESRCH') throw error
    }
  }
}

export class Stage {
  #processes = []
  dataDir = mkdtempSync(join(tmpdir(), 'stentor-clients-'))

  run(words, options) {
    const process = new Running(words, options)
    this.#processes.push(process)
    return process
  }

  /** A program of ours on a library of LIBRARIES. */
  program(library, file, ...words) {
    const { command, env } = LIBRARIES[library]
    return this.run([...command, join(here, 'programs', file), ...words], { env })
  }

  /** Runs the command line to its end and returns what it printed. */
  stentor(...words) {
    const { status, stdout, stderr } = spawnSync(stentor, ['--data-dir', this.dataDir, ...words], { encoding: 'utf8' })
    assert.equal(status, 0, `stentor ${words.join(' ')}: ${stderr}`)
    return stdout.trim()
  }

  /** An account with a key, in a directory on which no server runs yet. */
  key(account, tier, role = 'subscriber', ...grants) {
    this.stentor('account', 'create', account, '--tier', tier, ...grants.flatMap((grant) => ['--grant', grant]))
    return this.stentor('key', 'create', account, '--role', role)
  }

  /** `config`: the text of a configuration file. */
  async serve(listen = '127.0.0.1:0', config) {
    const words = [stentor, '--data-dir', this.dataDir, 'serve', '--listen', listen, '--drain-seconds', '0']
    if (config) {
      const file = join(this.dataDir, 'stentor.toml')
      writeFileSync(file, config)
      words.push('--config', file)
    }
    const server = this.run(words, { stream: 'stderr' })
    const line = await server.line('stentor listens on ')
    server.address = line.match(/listens on ([^,]+),/)[1]
    return server
  }

  demo(...words) {
    return this.run([stentor, '--data-dir', this.dataDir, 'demo', '--listen', '127.0.0.1:0', ...words])
  }

  /** Publishes events from a file; returns the last one's number. */
  publish(address, key, events) {
    const file = join(this.dataDir, 'events.ndjson')
    writeFileSync(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''))
    return Number(this.stentor('publish', file, '--url', `http://${address}`, '--key', key))
  }

  end() {
    this.#processes.forEach((process) => process.end())
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

/** What a program in JavaScript can run on; `websockets` is Python's and has programs of its own. */
export const LIBRARIES = {
  ws: { command: ['node'], env: {} },
  native: {
    // Node 20 has it only when asked.
    command: ['node', ...(typeof WebSocket === 'undefined' ? ['--experimental-websocket', '--no-warnings'] : [])],
    env: { CLIENT_LIBRARY: 'native' },
  },
  websockets: { command: ['python3'], env: {} },
}
