// What the server does this second, and what it did in the last five minutes.
import { badge, empty, facts, h, table } from './element.js'
import { ago, bytes, count, duration, micros, percent, short } from './format.js'
import { Plot } from './plot.js'
import { PROTOCOLS } from './rates.js'

const TABLES_MS = 5_000
const all = (sockets) => PROTOCOLS.reduce((sum, name) => sum + sockets[name], 0)

export class LiveView {
  element
  #status
  #session
  #facts = h('div', {})
  #shards = h('ul', { class: 'bars' })
  #threads = h('ul', { class: 'bars' })
  #topics = h('div', {})
  #slow = h('div', {})
  #slowCount = h('span', {})
  #order = 'by_events'
  #traffic
  #plots = [
    new Plot({ title: 'Published', unit: 'events/s', format: short, series: [{ name: 'events', of: (r) => r.events }], floor: 1 }),
    new Plot({ title: 'Delivered', unit: 'deliveries/s', format: short, series: [{ name: 'deliveries', of: (r) => r.deliveries }], floor: 1 }),
    new Plot({
      title: 'Fan-out latency', format: micros, unit: 'p99', floor: 100,
      series: [{ name: 'p99', of: (r) => r.p99 }, { name: 'p50', of: (r) => r.p50 }],
    }),
    new Plot({
      title: 'Sockets', unit: 'open', format: short, total: (r) => all(r.sockets), stacked: true, floor: 1,
      series: PROTOCOLS.map((name) => ({ name, of: (r) => r.sockets[name] })),
    }),
    new Plot({ title: 'Sent', format: (value) => `${bytes(value)}/s`, series: [{ name: 'bytes', of: (r) => r.bytes }], floor: 1000 }),
    new Plot({ title: 'Coalescing', unit: 'deliveries per send', format: short, series: [{ name: 'factor', of: (r) => r.coalescing }], floor: 1 }),
    new Plot({ title: 'Journal lag', unit: 'events', format: short, series: [{ name: 'lag', of: (r) => r.lagEvents }], floor: 10 }),
    new Plot({ title: 'Journal sync, p99 since the start', format: micros, series: [{ name: 'sync', of: (r) => r.sync }], floor: 1000 }),
    new Plot({ title: 'Sessions behind', unit: 'sessions', format: short, series: [{ name: 'behind', of: (r) => r.behind }], floor: 5 }),
  ]
  #listener = () => this.#show()
  #asking = setInterval(() => this.#ask(), TABLES_MS)

  constructor({ session, status }) {
    this.#session = session
    this.#status = status
    const orders = [['by_events', 'Events'], ['by_deliveries', 'Deliveries']].map(([order, name]) =>
      h('button', { type: 'button', 'aria-pressed': String(order === this.#order), onclick: (event) => this.#sort(order, event.target) }, name))
    this.element = h('div', { class: 'stack' },
      h('section', { class: 'card', 'aria-label': 'The server' }, this.#facts),
      h('div', { class: 'grid' }, ...this.#plots.map(({ element }) => element)),
      h('div', { class: 'grid wide' },
        card('Sockets by shard', this.#shards),
        card('Threads, part of a CPU', this.#threads)),
      h('div', { class: 'grid wide' },
        card('Busiest topics of the last minute', this.#topics, h('div', { class: 'segments', role: 'group', 'aria-label': 'Order' }, ...orders)),
        card('Slow consumers', this.#slow, this.#slowCount)))
    this.#show()
    this.#showTopics()
    this.#showSlow()
    status.addEventListener('sample', this.#listener)
    this.#ask()
  }

  end() {
    clearInterval(this.#asking)
    this.#status.removeEventListener('sample', this.#listener)
  }

  #show() {
    const { sample, readings, now } = this.#status
    this.#plots.forEach((plot) => plot.show(readings, sample?.at_ms ?? Date.now()))
    this.#showFacts(sample, now)
    this.#showShards(sample?.shards ?? [])
    this.#showThreads(now?.threads ?? [])
  }

  #showFacts(sample, now) {
    const told = (of) => (sample ? of(sample) : '–')
    this.#facts.replaceChildren(facts([
      ['Up', told((s) => duration(s.at_ms - s.started_ms))],
      ['CPU', now ? percent(now.threads.reduce((sum, { share }) => sum + share, 0)) : '–'],
      ['Newest event', told((s) => `#${count(s.last_seq)}`)],
      ['Oldest event', told((s) => `#${count(s.journal.oldest_seq)}`)],
      ['Accounts', told((s) => count(s.accounts))],
      ['Keys', told((s) => count(s.keys))],
      ['Handshakes', told((s) => short(s.handshakes.accepted))],
      ['Refused', told((s) => short(Object.values(s.handshakes.refused).reduce((sum, n) => sum + n, 0)))],
      ['Journal', told((s) => (s.journal.full ? 'disk full' : bytes(s.journal.bytes)))],
      ['Webhooks', told((s) => count(s.webhooks.webhooks))],
      ['Memory', told((s) => bytes(s.process.rss_bytes))],
      ['Descriptors', told((s) => count(s.process.open_fds))],
    ]))
  }

  #showShards(shards) {
    const most = Math.max(1, ...shards.map(({ sockets }) => all(sockets)))
    show(this.#shards, shards.map(({ index, sockets, slots }) => ({
      name: `Shard ${index}`,
      parts: PROTOCOLS.map((name) => all(sockets) && sockets[name] / most),
      number: count(all(sockets)),
      title: `${count(all(sockets))} of ${count(slots)} slots: ${PROTOCOLS.map((name) => `${name} ${count(sockets[name])}`).join(', ')}`,
    })))
  }

  #showThreads(threads) {
    // The busiest, but always in one order, so that nothing jumps.
    const busiest = new Set([...threads].sort((a, b) => b.share - a.share || (a.name < b.name ? -1 : 1)).slice(0, 12).map(({ name }) => name))
    show(this.#threads, merged(threads).filter(({ name }) => busiest.has(name)).map(({ name, share }) => ({
      name, parts: [Math.min(1, share)], number: percent(share), title: `${name}: ${percent(share)} of a CPU`,
    })))
  }

  async #ask() {
    if (document.hidden) return
    const [traffic, slow] = await Promise.allSettled([this.#session.get('/api/admin/topics?limit=10'), this.#session.get('/api/admin/slow?limit=10')])
    if (traffic.status === 'fulfilled') this.#showTopics((this.#traffic = traffic.value))
    if (slow.status === 'fulfilled') this.#showSlow(slow.value)
  }

  #sort(order, button) {
    this.#order = order
    for (const other of button.parentElement.children) other.setAttribute('aria-pressed', String(other === button))
    this.#showTopics(this.#traffic)
  }

  #showTopics(traffic) {
    const topics = traffic?.[this.#order] ?? []
    if (topics.length === 0) return this.#topics.replaceChildren(empty(traffic ? 'Nothing was published in the last minute' : 'Looking…'))
    const rate = (number) => short(number / (traffic.window_ms / 1000))
    this.#topics.replaceChildren(table([
      ['Topic', ({ topic }) => h('a', { class: 'open mono', href: `#/tail/${encodeURIComponent(topic)}`, title: `Tail ${topic}` }, topic), 'grow'],
      ['Events/s', ({ events }) => rate(events), 'number'],
      ['Sockets', ({ receivers }) => count(receivers), 'number'],
      ['Deliveries/s', ({ deliveries }) => rate(deliveries), 'number'],
    ], topics, { caption: 'Busiest topics' }))
  }

  #showSlow(slow) {
    this.#slowCount.replaceChildren(slow ? h('span', { class: 'muted' }, `${count(slow.behind)} behind, ${count(slow.full)} waiting for their sockets`) : '')
    if (!slow || slow.sessions.length === 0) {
      return this.#slow.replaceChildren(slow ? empty('Nobody is slow', 'Every session has been sent everything that was published.') : empty('Looking…'))
    }
    this.#slow.replaceChildren(table([
      ['Session', (s) => [s.account ?? s.user ?? 'unknown', h('span', { class: 'sub' }, `${s.protocol}, shard ${s.shard}, ${count(s.topics)} ${s.topics === 1 ? 'topic' : 'topics'}`)], 'grow'],
      ['State', (s) => badge(s.state, s.state === 'replaying' ? 'accent' : 'warn')],
      ['Behind', (s) => [`${count(s.events_behind)} events`, h('span', { class: 'sub' }, s.since ? ago(s.since) : '–')], 'number'],
      ['Unsent', (s) => bytes(s.unsent_bytes), 'number'],
      ['Policy', (s) => s.policy, 'wide-only'],
    ], slow.sessions, { caption: 'Slow consumers' }))
  }
}

const card = (title, body, ...more) =>
  h('section', { class: 'card', 'aria-label': title }, h('header', {}, h('h2', {}, title), h('span', { class: 'spacer' }), ...more), body)

/** Threads of one name count together. */
function merged(threads) {
  const byName = new Map()
  for (const { name, share } of threads) byName.set(name, (byName.get(name) ?? 0) + share)
  return [...byName].map(([name, share]) => ({ name, share })).sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

/** Puts bars in place. Those that are there stay, so that they grow and shrink. */
function show(list, bars) {
  while (list.children.length > bars.length) list.lastChild.remove()
  bars.forEach(({ name, parts, number, title }, n) => {
    let bar = list.children[n]
    if (!bar || bar.querySelectorAll('i').length !== parts.length) {
      const made = h('li', {}, h('span', { class: 'name' }), h('span', { class: 'track' }, ...parts.map((_, part) => h('i', { class: `swatch-${part + 1}` }))), h('span', { class: 'number' }))
      if (bar) bar.replaceWith(made)
      else list.append(made)
      bar = made
    }
    bar.title = title
    bar.querySelector('.name').textContent = name
    bar.querySelector('.number').textContent = number
    bar.querySelectorAll('i').forEach((part, at) => (part.style.width = `${(parts[at] * 100).toFixed(1)}%`))
  })
}
