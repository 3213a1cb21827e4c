// Accounts, what they may, and their keys.
import { ask, field, showSecret, tell } from './dialog.js'
import { badge, empty, facts, failure, h, loading, table } from './element.js'
import { ago, count, minute, moment } from './format.js'

const ACCOUNTS = '/api/admin/accounts'
const TIERS = ['free', 'pro', 'elite', 'enterprise']
const ROLES = ['subscriber', 'publisher', 'admin']
const at = (name) => `${ACCOUNTS}/${encodeURIComponent(name)}`
const words = (text) => text.split(/[\s,]+/).filter(Boolean)
const mood = (tier) => (tier === 'free' ? '' : 'accent')

export class AccountsView {
  element = h('div', { class: 'stack' })
  #session

  constructor({ session, rest: [name] }) {
    this.#session = session
    if (name) this.#showOne(name)
    else this.#showAll()
  }

  async #showAll() {
    const list = h('div', {}, loading())
    const search = h('input', { type: 'search', placeholder: 'Find an account by its name', 'aria-label': 'Find an account', class: 'find', oninput: () => show() })
    const more = h('div', { class: 'row' })
    this.element.replaceChildren(
      h('div', { class: 'row' }, h('div', { class: 'find' }, search), h('span', { class: 'spacer' }), h('button', { class: 'primary', onclick: () => this.#create() }, 'New account')),
      h('section', { class: 'card', 'aria-label': 'Accounts' }, list),
      more)
    let accounts = []
    let next
    const show = () => {
      const wanted = search.value.trim().toLowerCase()
      const found = accounts.filter(({ name }) => name.toLowerCase().includes(wanted))
      list.replaceChildren(found.length === 0
        ? empty(accounts.length === 0 ? 'There are no accounts yet' : 'No account is called so', accounts.length === 0 && 'An account holds keys, a tier and a watchlist.')
        : table([
          ['Account', ({ name }) => name],
          ['Tier', ({ tier }) => badge(tier, mood(tier))],
          ['Keys', ({ live_keys: keys }) => count(keys), 'number'],
          ['Watchlist', ({ watchlist_size: size }) => count(size), 'number'],
          ['Grants', ({ grants }) => h('span', { class: 'mono muted' }, grants.join(' ') || '–'), 'grow wide-only'],
          ['Made', ({ created }) => h('span', { class: 'muted', title: moment(created) }, ago(created)), 'number wide-only'],
        ], found, { caption: 'Accounts', open: ({ name }) => `#/accounts/${encodeURIComponent(name)}` }))
      more.replaceChildren(...(next ? [h('button', { onclick: load }, 'Show more')] : []))
    }
    const load = async () => {
      try {
        const page = await this.#session.get(`${ACCOUNTS}?limit=100${next ? `&after=${encodeURIComponent(next)}` : ''}`)
        accounts = accounts.concat(page.accounts)
        next = page.next
        show()
      } catch (error) {
        list.replaceChildren(failure(error))
      }
    }
    await load()
  }

  async #create() {
    const made = await ask({
      title: 'New account',
      action: 'Create account',
      fields: [
        field('name', 'Name', { required: true, autofocus: true, placeholder: 'alice@example.com' }),
        field('tier', 'Tier', { options: TIERS, value: 'elite' }),
        field('grants', 'Grants', { rows: 2, hint: 'Channels that it may subscribe to, as in bot:*. Empty: the usual ones.' }),
      ],
      act: ({ name, tier, grants }) =>
        this.#session.send('POST', ACCOUNTS, { name, tier, ...(words(grants).length > 0 && { grants: words(grants) }) }),
    })
    if (made) location.hash = `#/accounts/${encodeURIComponent(made.account.name)}`
  }

  async #showOne(name) {
    this.element.replaceChildren(back(), h('section', { class: 'card' }, loading()))
    try {
      const [{ account }, { keys }] = await Promise.all([this.#session.get(at(name)), this.#session.get(`${at(name)}/keys`)])
      this.#showAccount(account, keys)
    } catch (error) {
      this.element.replaceChildren(back(), h('section', { class: 'card' }, failure(error)))
    }
  }

  #showAccount(account, keys) {
    const { name } = account
    const refresh = () => this.#showOne(name)
    this.element.replaceChildren(
      back(),
      h('section', { class: 'card', 'aria-label': name },
        h('header', {}, h('h1', {}, name), badge(account.tier, mood(account.tier)), h('span', { class: 'spacer' }),
          h('button', { onclick: () => this.#change(account, refresh) }, 'Edit'),
          h('button', { class: 'danger', onclick: () => this.#delete(name) }, 'Delete')),
        facts([
          ['Watchlist', `${count(account.watchlist_size)} wallets`],
          ['Live keys', count(account.live_keys)],
          ['Made', minute(account.created)],
          ['Grants', h('span', { class: 'mono' }, account.grants.join(' ') || 'none')],
        ], 'wide-values')),
      h('section', { class: 'card', 'aria-label': 'Keys' },
        h('header', {}, h('h2', {}, 'Keys'), h('span', { class: 'spacer' }), h('button', { class: 'small', onclick: () => this.#createKey(name, refresh) }, 'New key')),
        keys.length === 0
          ? empty('No keys yet', 'Without one nobody can connect as this account.')
          : table([
            ['Key', (key) => [h('code', {}, `${key.prefix}…`), h('span', { class: 'sub', title: moment(key.created) }, `made ${ago(key.created)}`)]],
            ['Role', ({ role }) => badge(role, role === 'admin' ? 'warn' : '')],
            ['', (key) => key.revoked ? badge('revoked') : h('button', { class: 'small danger', 'aria-label': `Revoke ${key.prefix}`, onclick: () => this.#revoke(name, key, refresh) }, 'Revoke'), 'actions grow'],
          ], [...keys].reverse(), { caption: 'Keys' })))
  }

  async #change(account, changed) {
    const done = await ask({
      title: `Edit ${account.name}`,
      action: 'Save',
      text: 'In force at once: sessions that a lower tier or a lost grant does not allow end.',
      fields: [
        field('tier', 'Tier', { options: TIERS, value: account.tier }),
        field('grants', 'Grants', { rows: 3, value: account.grants.join('\n'), hint: 'One a line: bot:abc, bot:*, price:*, transactions:*' }),
      ],
      act: ({ tier, grants }) => this.#session.send('PATCH', at(account.name), { tier, grants: words(grants) }),
    })
    if (done) {
      tell(`${account.name} was changed.`)
      changed()
    }
  }

  async #delete(name) {
    const text = 'Its keys stop working, its sessions end, and its watchlist and webhooks are deleted. This can’t be undone.'
    const done = await ask({ title: `Delete ${name}?`, text, action: 'Delete account', danger: true, act: () => this.#session.send('DELETE', at(name)) })
    if (done) {
      tell(`${name} was deleted.`)
      location.hash = '#/accounts'
    }
  }

  async #createKey(name, changed) {
    const hint = 'A subscriber connects and reads, a publisher publishes, an admin does everything, here too.'
    const made = await ask({
      title: `New key for ${name}`,
      action: 'Create key',
      fields: [field('role', 'Role', { options: ROLES, value: 'subscriber', hint })],
      act: (body) => this.#session.send('POST', `${at(name)}/keys`, body),
    })
    if (made) {
      changed()
      showSecret(`A ${made.key.role} key for ${name}`, made.key.secret, 'Save it now. It is shown this once, and nobody can look it up later.')
    }
  }

  async #revoke(name, key, changed) {
    const text = 'Sockets that came in by it are closed at once. This can’t be undone.'
    const act = () => this.#session.send('DELETE', `${at(name)}/keys/${encodeURIComponent(key.id)}`)
    if (await ask({ title: `Revoke ${key.prefix}…?`, text, action: 'Revoke key', danger: true, act })) {
      tell(`${key.prefix}… was revoked.`)
      changed()
    }
  }
}

const back = () => h('a', { href: '#/accounts' }, '← All accounts')
