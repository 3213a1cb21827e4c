// Server-sent events over fetch, because EventSource can't send a key in a header. It comes back by itself.

/** The messages of a body, as `{ id, event, data }`. */
export async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop()
      for (const block of blocks) yield parse(block)
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function parse(block) {
  const message = { event: 'message', data: '' }
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) message[line.slice(0, colon)] = line.slice(colon + 1).trimStart()
  }
  return message
}

const WAIT_MS_MAX = 10_000

export class Feed {
  #stopped = new AbortController()

  /**
   * `path` may be a function of the last message's id. `heard` gets messages, `changed` gets `connecting`, `open`, or `offline` with the
   * time of the next try and why. A feed that says nothing for `silenceMs` is taken for dead.
   */
  constructor(session, path, { heard, changed, silenceMs = 45_000 }) {
    Object.assign(this, { session, path, heard, changed, silenceMs })
    this.#run()
  }

  stop() {
    this.#stopped.abort()
  }

  async #run() {
    const { signal } = this.#stopped
    let failures = 0
    let last
    while (!signal.aborted) {
      this.changed('connecting')
      const connection = new AbortController()
      const end = () => connection.abort()
      signal.addEventListener('abort', end)
      let silence
      const listen = () => {
        clearTimeout(silence)
        silence = setTimeout(end, this.silenceMs)
      }
      let reason = 'The server ended the stream.'
      try {
        listen()
        const path = typeof this.path === 'function' ? this.path(last) : this.path
        const answer = await this.session.stream(path, connection.signal)
        this.changed('open')
        for await (const message of messages(answer.body)) {
          listen()
          failures = 0
          last = message.id ?? last
          if (message.data) this.heard(JSON.parse(message.data), message)
        }
      } catch (error) {
        if (signal.aborted || error.status === 401) return
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return this.changed('refused', { reason: error.message })
        // What a broken connection is called differs from browser to browser.
        reason = error.status === undefined ? 'The connection to the server was lost.' : error.message
      } finally {
        clearTimeout(silence)
        signal.removeEventListener('abort', end)
      }
      if (signal.aborted) return
      const waitMs = Math.min(WAIT_MS_MAX, 500 * 2 ** failures++) * (0.75 + Math.random() / 2)
      this.changed('offline', { until: Date.now() + waitMs, reason })
      await new Promise((wake) => {
        const timer = setTimeout(wake, waitMs)
        signal.addEventListener('abort', () => (clearTimeout(timer), wake()), { once: true })
      })
    }
  }
}
