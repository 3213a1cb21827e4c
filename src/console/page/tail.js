// A live tail of any topics: one line an event, which opens to its JSON.
import { badge, empty, h } from './element.js'
import { Feed } from './feed.js'
import { clock, count, short } from './format.js'

/** Lines that are kept. What is older is gone from the page. */
const LINES_MAX = 500
/** Events that wait to be shown, paused or not. Of a flood the newest are. */
const WAITING_MAX = 500
const MEMORY = 'stentor-tail-topics'

export class TailView {
  element
  #session
  #feed
  #paused = false
  #waiting = []
  #passed = 0
  #seen = 0
  #recent = []
  #topics = h('input', { name: 'topics', required: true, spellcheck: 'false', autocomplete: 'off', list: 'busy-topics', placeholder: 'alerts  price:EPj…  wallet:DRVR…', 'aria-label': 'Topics, with spaces between them' })
  #busy = h('datalist', { id: 'busy-topics' })
  #filter = h('input', { type: 'search', placeholder: 'Only events that hold this text', 'aria-label': 'Filter', oninput: () => this.#refilter() })
  #start = h('button', { class: 'primary', type: 'submit' }, 'Start')
  #pause = h('button', { type: 'button', disabled: true, 'aria-pressed': 'false', onclick: () => this.#setPaused(!this.#paused) }, 'Pause')
  #state = h('span', { role: 'status' })
  #told = h('span', { class: 'muted' })
  #lines = h('div', { class: 'tail', role: 'log', 'aria-label': 'Events', 'aria-live': 'off' })
  #ticking = setInterval(() => this.#tick(), 250)

  constructor({ session, rest }) {
    this.#session = session
    const topic = rest.join('/')
    this.#topics.value = topic || sessionStorage.getItem(MEMORY) || ''
    const submit = (event) => {
      event.preventDefault()
      if (this.#feed) this.#stop()
      else this.#begin()
    }
    this.element = h('div', { class: 'stack' },
      h('form', { class: 'row tail-form', onsubmit: submit }, h('div', { class: 'topics' }, this.#topics, this.#busy), this.#start, this.#pause),
      h('section', { class: 'card', 'aria-label': 'Events' },
        h('header', {}, h('div', { class: 'find' }, this.#filter), this.#state, h('span', { class: 'spacer' }), this.#told,
          h('button', { class: 'small plain', type: 'button', onclick: () => this.#clear() }, 'Clear')),
        this.#lines))
    this.#clear()
    this.#suggest()
    if (topic) this.#begin()
  }

  end() {
    clearInterval(this.#ticking)
    this.#feed?.stop()
  }

  async #suggest() {
    const { by_events: topics } = await this.#session.get('/api/admin/topics?limit=50').catch(() => ({ by_events: [] }))
    this.#busy.replaceChildren(...topics.map(({ topic }) => h('option', { value: topic })))
  }

  #begin() {
    const topics = this.#topics.value.split(/[\s,]+/).filter(Boolean)
    if (topics.length === 0) return
    sessionStorage.setItem(MEMORY, topics.join(' '))
    const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join('&')
    this.#feed = new Feed(this.#session, (last) => `/events/stream?${query}${last ? `&since=${last}` : ''}`, {
      heard: (data, { id }) => this.#hear(data, id),
      changed: (state, detail) => this.#show(state, detail),
    })
    this.#start.textContent = 'Stop'
    this.#pause.disabled = false
    this.#clear('Listening', 'Events appear here as they are published.')
  }

  #stop() {
    this.#feed.stop()
    this.#feed = undefined
    this.#setPaused(false)
    this.#pause.disabled = true
    this.#start.textContent = 'Start'
    this.#state.replaceChildren()
  }

  #show(state, detail) {
    const moods = { open: ['live', 'good'], connecting: ['connecting', ''], offline: ['reconnecting', 'warn'], refused: ['refused', 'bad'] }
    this.#state.replaceChildren(badge(...moods[state]))
    if (state === 'refused') {
      this.#stop()
      this.#clear('These topics can’t be had', detail.reason)
    }
  }

  #hear(data, id) {
    this.#seen += 1
    this.#recent.push(Date.now())
    this.#waiting.push({ data, id, at: new Date(), text: JSON.stringify(data) })
    if (this.#waiting.length > WAITING_MAX) {
      this.#waiting.shift()
      this.#passed += 1
    }
  }

  #setPaused(paused) {
    this.#paused = paused
    this.#pause.textContent = paused ? 'Resume' : 'Pause'
    this.#pause.setAttribute('aria-pressed', String(paused))
  }

  #tick() {
    const second = Date.now() - 1_000
    while (this.#recent.length > 0 && this.#recent[0] < second) this.#recent.shift()
    if (!this.#paused && this.#waiting.length > 0) {
      if (this.#lines.querySelector('.empty')) this.#lines.replaceChildren()
      const fresh = this.#waiting.splice(0).reverse()
      this.#lines.prepend(...fresh.map((event) => this.#line(event)))
      while (this.#lines.children.length > LINES_MAX) this.#lines.lastChild.remove()
    }
    if (this.#seen === 0) return
    const waiting = this.#paused && this.#waiting.length > 0 ? `, ${count(this.#waiting.length)} waiting` : ''
    const passed = this.#passed > 0 ? `, ${count(this.#passed)} passed over` : ''
    this.#told.textContent = `${short(this.#recent.length)}/s, ${count(this.#seen)} in all${waiting}${passed}`
  }

  #line({ data, id, at, text }) {
    const { type, seq, ...rest } = data
    const shown = Object.keys(rest).length === 1 && typeof rest.data === 'object' ? rest.data : rest
    const line = h('details', {},
      h('summary', {},
        h('span', { class: 'at' }, clock(at, true)),
        h('span', { class: 'seq' }, id ? `#${id}` : ''),
        h('span', { class: 'type' }, type ?? ''),
        h('span', {}, JSON.stringify(shown))))
    line.dataset.text = text.toLowerCase()
    line.hidden = !this.#admits(line)
    // Made when somebody wants to see it: a flood has thousands.
    line.addEventListener('toggle', () => line.open && line.children.length === 1 && line.append(h('pre', {}, JSON.stringify(data, null, 2))))
    return line
  }

  #admits(line) {
    return line.dataset.text.includes(this.#filter.value.trim().toLowerCase())
  }

  #refilter() {
    for (const line of this.#lines.querySelectorAll('details')) line.hidden = !this.#admits(line)
  }

  #clear(title = 'No topic is tailed', text = 'Name topics exactly, with spaces between them: alerts, system, or wallet:, bot:, price:, transactions:, market:, user: and admin: with a name.') {
    if (this.#feed && arguments.length === 0) [title, text] = ['Listening', 'Events appear here as they are published.']
    this.#waiting.length = 0
    this.#seen = this.#passed = 0
    this.#told.textContent = ''
    this.#lines.replaceChildren(empty(title, text))
  }
}
