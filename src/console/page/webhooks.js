// Webhooks of all accounts: how they are, what was delivered, and what an operator can do about it.
import { ask, field, tell } from './dialog.js'
import { badge, empty, facts, failure, h, loading, table } from './element.js'
import { ago, count, moment, percent } from './format.js'

const WEBHOOKS = '/api/admin/webhooks'
const PAGE = 50
const at = (id) => `${WEBHOOKS}/${encodeURIComponent(id)}`
const rate = ({ finished, delivered }) => (finished === 0 ? '–' : percent(delivered / finished))
const host = (url) => url.replace(/^https?:\/\//, '')

export class WebhooksView {
  element = h('div', { class: 'stack' })
  #session

  constructor({ session, rest: [id] }) {
    this.#session = session
    this.element.replaceChildren(h('section', { class: 'card' }, loading()))
    if (id) this.#show(id)
    else this.#list()
  }

  /** Adds a page to those that are shown; the newest webhooks come first. */
  async #list(before = [], next) {
    try {
      const page = await this.#session.get(`${WEBHOOKS}?limit=${PAGE}${next ? `&before=${encodeURIComponent(next)}` : ''}`)
      this.#showAll([...before, ...page.webhooks], page)
    } catch (error) {
      this.element.replaceChildren(h('section', { class: 'card' }, failure(error)))
    }
  }

  async #show(id) {
    try {
      const [{ webhook }, { deliveries }] = await Promise.all([this.#session.get(at(id)), this.#session.get(`${at(id)}/deliveries?limit=50`)])
      this.#showOne(webhook, deliveries)
    } catch (error) {
      this.element.replaceChildren(back(), h('section', { class: 'card' }, failure(error)))
    }
  }

  #showAll(webhooks, { total, next }) {
    const list = webhooks.length === 0
      ? empty('There are no webhooks', 'An account of tier elite or enterprise makes one with POST /api/webhooks.')
      : table([
        ['Endpoint', ({ url, account }) => [host(url), h('span', { class: 'sub' }, account ?? 'an account that is gone')], 'grow'],
        ['State', state],
        ['Delivered', ({ recent }) => rate(recent), 'number'],
        ['Waiting', ({ waiting }) => count(waiting), 'number wide-only'],
        ['Last failure', ({ recent: { last_failure: failed } }) => failed
          ? [h('span', {}, failed.error), h('span', { class: 'sub' }, ago(failed.at))]
          : h('span', { class: 'muted' }, 'none'), 'wide-only'],
      ], webhooks, { caption: 'Webhooks', open: ({ id }) => `#/webhooks/${id}` })
    const told = next ? `The newest ${count(webhooks.length)} of ${count(total)}` : `${count(total)} in all`
    this.element.replaceChildren(
      h('section', { class: 'card', 'aria-label': 'Webhooks' },
        h('header', {}, h('h2', {}, 'Webhooks of all accounts'), h('span', { class: 'spacer' }), h('span', { class: 'muted' }, told)),
        list),
      next ? h('div', { class: 'row' }, h('button', { onclick: () => this.#list(webhooks, next) }, 'Show older')) : '')
  }

  #showOne(webhook, deliveries) {
    const { id } = webhook
    const refresh = () => this.#show(id)
    const failed = webhook.recent.last_failure
    this.element.replaceChildren(
      back(),
      h('section', { class: 'card', 'aria-label': 'Webhook' },
        h('header', {}, h('h1', { class: 'mono' }, host(webhook.url)), h('span', { class: 'spacer' }), state(webhook)),
        facts([
          ['Account', webhook.account ? h('a', { href: `#/accounts/${encodeURIComponent(webhook.account)}` }, webhook.account) : 'an account that is gone'],
          ['Delivered', `${rate(webhook.recent)} of the last ${count(webhook.recent.finished)}`],
          ['Waiting', count(webhook.waiting)],
          ['Failures in a row', count(webhook.failures)],
          ['Events', webhook.events.join(', ')],
          ['Last failure', failed ? `${failed.error} (${ago(failed.at)})` : 'none'],
        ], 'wide-values'),
        h('header', {},
          h('button', { onclick: (event) => this.#test(id, event.target, refresh) }, 'Send a test'),
          h('button', { onclick: () => this.#replay(webhook, refresh) }, 'Replay…'),
          h('span', { class: 'spacer' }),
          webhook.is_active
            ? h('button', { class: 'danger', onclick: () => this.#disable(id, refresh) }, 'Disable')
            : h('button', { class: 'primary', onclick: () => this.#setActive(id, true).then(refresh, fail) }, 'Enable'))),
      h('section', { class: 'card', 'aria-label': 'Deliveries' },
        h('header', {}, h('h2', {}, 'Deliveries'), h('span', { class: 'spacer' }), h('button', { class: 'small plain', onclick: refresh }, 'Refresh')),
        deliveries.length === 0
          ? empty('Nothing was sent yet', 'Trades of the wallets that the account watches are.')
          : table([
            ['Event', (d) => [d.event_type, h('span', { class: 'sub', title: d.id }, d.seq === null ? `${d.id.slice(0, 12)}…` : `#${count(d.seq)}`)]],
            ['State', ({ status }) => badge(status, { delivered: 'good', failed: 'bad', pending: 'accent' }[status])],
            ['Attempts', ({ attempts }) => count(attempts.length), 'number wide-only'],
            ['Last answer', (d) => d.note ?? answer(d.attempts.at(-1)), 'grow'],
            ['Made', ({ created_at: made }) => h('span', { class: 'muted', title: moment(made) }, ago(made)), 'number'],
          ], deliveries, { caption: 'Deliveries' })))
  }

  async #test(id, button, refresh) {
    button.disabled = true
    try {
      tell((await this.#session.send('POST', `${at(id)}/test`)).message)
    } catch (error) {
      fail(error)
    }
    await refresh()
  }

  async #replay({ id, disabled }, refresh) {
    const done = await ask({
      title: 'Replay events',
      text: 'What the account’s watchlist holds of the events after this number is sent again.',
      action: 'Replay',
      fields: [field('since', 'After the event number', { type: 'number', min: 0, required: true, value: disabled?.since ?? 0, autofocus: true })],
      act: ({ since }) => this.#session.send('POST', `${at(id)}/replay`, { since: Number(since) }),
    })
    if (done) {
      tell(done.message)
      refresh()
    }
  }

  async #disable(id, refresh) {
    const text = 'Nothing more is sent to it, and what waits is dropped. A replay can send it later.'
    if (await ask({ title: 'Disable this webhook?', text, action: 'Disable', danger: true, act: () => this.#setActive(id, false) })) refresh()
  }

  #setActive(id, active) {
    return this.#session.send('PUT', at(id), { is_active: active })
  }
}

function state({ is_active: active, disabled, failures, replay }) {
  if (!active) return badge(`disabled: ${disabled?.reason ?? 'owner'}`, 'bad')
  if (failures > 0) return badge('failing', 'warn')
  return replay ? badge('replaying', 'accent') : badge('active', 'good')
}

function answer(attempt) {
  if (!attempt) return h('span', { class: 'muted' }, 'waits for its first attempt')
  return [attempt.error ?? `answered ${attempt.status_code}`, h('span', { class: 'sub' }, `${count(attempt.duration_ms)} ms`)]
}

const fail = (error) => tell(error.message, 'bad')
const back = () => h('a', { href: '#/webhooks' }, '← All webhooks')
