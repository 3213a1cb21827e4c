// The page: who is let in, which view is shown, and how the server is.
import { AccountsView } from './accounts.js'
import { AuditView } from './audit.js'
import { h, icon } from './element.js'
import { duration } from './format.js'
import { LiveView } from './live.js'
import { Session } from './session.js'
import { Status } from './status.js'
import { TailView } from './tail.js'
import { WebhooksView } from './webhooks.js'

const VIEWS = {
  live: { title: 'Live', View: LiveView },
  accounts: { title: 'Accounts', View: AccountsView },
  webhooks: { title: 'Webhooks', View: WebhooksView },
  tail: { title: 'Tail', View: TailView },
  audit: { title: 'Audit', View: AuditView },
}

/** What the address asks for behind its `#`: a view, and what of it. Nothing where it is malformed. */
function asked() {
  try {
    return location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent)
  } catch {
    return []
  }
}

/** What is shown to whoever was let in. */
let frame
const session = new Session()
const app = document.getElementById('app')
const brand = () => h('div', { class: 'brand' }, h('img', { src: '/console/icon.svg', alt: '' }), 'Stentor')

function askForKey(reason) {
  leave()
  const key = h('input', {
    name: 'key', type: 'password', required: true, autofocus: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'stn_…', 'aria-describedby': 'error',
  })
  const error = h('p', { class: 'error', id: 'error', role: 'alert' }, reason ?? '')
  const button = h('button', { class: 'primary', type: 'submit' }, 'Open the console')
  const submit = async (event) => {
    event.preventDefault()
    button.disabled = true
    error.textContent = ''
    try {
      await session.open(key.value.trim())
      enter()
    } catch (failed) {
      error.textContent = { 401: 'This key does not exist or was revoked.', 403: 'This key is not an admin key.' }[failed.status] ?? failed.message
      key.select()
    }
    button.disabled = false
  }
  app.replaceChildren(h('main', { class: 'gate', id: 'main', tabindex: -1 },
    h('form', { onsubmit: submit },
      brand(),
      h('label', { class: 'field' }, 'Admin key', key,
        h('small', {}, 'It stays in this tab. The server’s command line makes one:', h('code', {}, 'stentor key create ACCOUNT --role admin'))),
      error,
      button)))
  document.title = 'Stentor console'
  key.focus()
}

function leave() {
  frame?.end()
  frame = undefined
}

function enter() {
  leave()
  frame = new Frame()
}

class Frame {
  #status = new Status(session)
  #main = h('main', { id: 'main', tabindex: -1 })
  #title = h('h1', {})
  #state = h('span', { class: 'state', role: 'status' })
  #banner = h('p', { class: 'banner', hidden: true })
  #about = h('footer', {})
  #links = Object.entries(VIEWS).map(([name, { title }]) => h('a', { href: `#/${name}` }, icon(name), title))
  #view
  #routed = () => this.#route()
  #ticking = setInterval(() => this.#tellState(), 1_000)

  constructor() {
    const theme = h('button', { class: 'plain icon', title: 'Light or dark', 'aria-label': 'Light or dark', onclick: () => window.stentorTheme.toggle() }, icon('theme'))
    const out = h('button', { class: 'plain icon', title: 'Forget the key', 'aria-label': 'Forget the key', onclick: () => session.close() }, icon('leave'))
    app.replaceChildren(h('div', { class: 'shell' },
      h('nav', { class: 'side', 'aria-label': 'Views' }, brand(), h('ul', {}, ...this.#links.map((link) => h('li', {}, link))), this.#about),
      h('header', { class: 'top' }, brand(), this.#title, h('span', { class: 'spacer' }), this.#state, theme, out),
      this.#main))
    addEventListener('hashchange', this.#routed)
    this.#status.addEventListener('state', () => this.#tellState())
    this.#status.addEventListener('sample', () => this.#tellAbout())
    this.#tellState()
    this.#route()
  }

  end() {
    removeEventListener('hashchange', this.#routed)
    clearInterval(this.#ticking)
    this.#view?.end?.()
    this.#status.stop()
  }

  #route() {
    // The skip link's.
    if (location.hash === '#main') return
    const [name, ...rest] = asked()
    const shown = Object.hasOwn(VIEWS, name) ? name : 'live'
    this.#view?.end?.()
    const { title, View } = VIEWS[shown]
    this.#title.textContent = title
    document.title = `${title} · Stentor`
    this.#links.forEach((link, n) => {
      if (Object.keys(VIEWS)[n] === shown) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    })
    this.#view = new View({ session, status: this.#status, rest })
    this.#main.className = shown
    this.#main.replaceChildren(this.#banner, this.#view.element)
    scrollTo(0, 0)
  }

  #tellState() {
    const { state, detail } = this.#status
    const isDown = state === 'offline' || state === 'refused'
    const words = { connecting: 'Connecting', open: 'Live', offline: 'Offline', refused: 'Refused' }[state]
    this.#state.dataset.state = isDown ? 'offline' : state
    if (this.#state.textContent !== words) this.#state.textContent = words
    this.#banner.hidden = !isDown
    if (isDown) {
      const left = detail.until ? Math.max(0, Math.ceil((detail.until - Date.now()) / 1000)) : undefined
      this.#banner.textContent = `${detail.reason ?? ''} What is shown is from before.${left === undefined ? '' : ` Trying again in ${left} s.`}`
    }
    document.body.classList.toggle('is-stale', isDown)
  }

  #tellAbout() {
    const { version, started_ms: started, at_ms: at } = this.#status.sample
    this.#about.textContent = `${version} · up ${duration(at - started)}`
  }
}

session.addEventListener('closed', ({ detail }) => askForKey(detail))
if (session.isOpen) enter()
else askForKey()
