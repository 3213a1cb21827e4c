// Who changed what, and when.
import { empty, failure, h, loading, table } from './element.js'
import { ago, moment } from './format.js'

const PAGE = 50

export class AuditView {
  element = h('div', { class: 'stack' })
  #session
  #entries = []

  constructor({ session }) {
    this.#session = session
    this.element.replaceChildren(h('section', { class: 'card' }, loading()))
    this.#load()
  }

  async #load() {
    const before = this.#entries.at(-1)?.id
    try {
      const { entries } = await this.#session.get(`/api/admin/audit?limit=${PAGE}${before ? `&before=${before}` : ''}`)
      this.#entries.push(...entries)
      this.#show(entries.length === PAGE)
    } catch (error) {
      this.element.replaceChildren(h('section', { class: 'card' }, failure(error)))
    }
  }

  #show(more) {
    const list = this.#entries.length === 0
      ? empty('Nothing has been changed yet', 'Accounts, keys, watchlists and webhooks that are made, changed or revoked stand here.')
      : table([
        ['When', ({ at }) => [moment(at), h('span', { class: 'sub' }, ago(at))]],
        ['Action', ({ action }) => h('code', {}, action)],
        ['Target', ({ target }) => target ?? '–'],
        ['Who', ({ actor }) => actor, 'wide-only'],
        ['Detail', ({ detail }) => h('span', { class: 'mono muted' }, told(detail)), 'grow'],
      ], this.#entries, { caption: 'Audit log' })
    this.element.replaceChildren(
      h('section', { class: 'card', 'aria-label': 'Audit log' }, list),
      more ? h('div', { class: 'row' }, h('button', { onclick: () => this.#load() }, 'Show older')) : '')
  }
}

const told = (detail) =>
  Object.entries(detail ?? {}).map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' ')
