// The server's state of the last five minutes, as its status stream tells it.
import { Feed } from './feed.js'
import { reading } from './rates.js'

const KEPT_MS = 5 * 60_000
/** Samples come once a second. One that is so late means that nobody is there. */
const SILENCE_MS = 12_000

export class Status extends EventTarget {
  /** The newest sample, and what happened each second, oldest first. */
  sample
  readings = []
  state = 'connecting'
  detail = {}
  #feed

  constructor(session) {
    super()
    this.#feed = new Feed(session, '/api/admin/status/stream', {
      heard: (sample) => this.#take(sample),
      changed: (state, detail = {}) => {
        // Between two tries the page stays as it was told last.
        if (state === 'connecting' && this.state === 'offline') return
        Object.assign(this, { state, detail })
        this.dispatchEvent(new Event('state'))
      },
      silenceMs: SILENCE_MS,
    })
  }

  get now() {
    return this.readings.at(-1)
  }

  stop() {
    this.#feed.stop()
  }

  #take(sample) {
    const next = this.sample && reading(this.sample, sample)
    if (this.sample && this.sample.started_ms !== sample.started_ms) this.dispatchEvent(new Event('restarted'))
    this.sample = sample
    if (next) this.readings.push(next)
    while (this.readings.length > 0 && this.readings[0].at < sample.at_ms - KEPT_MS) this.readings.shift()
    this.dispatchEvent(new Event('sample'))
  }
}
