// The operator's page in a real browser against the real server. Usage: node run.mjs STENTOR
//
//   stentor serve  ◀── clients, publishers, an endpoint (Traffic)
//        ▲
//        └── chromium ── playwright-core ── the checks below, by name; pictures of each view in target/console/
//
// The last line is `N passed, M failed`. A second argument performs only the checks whose name holds it.
import assert from 'node:assert/strict'
import { Server, Traffic, Visit, alert, openBrowser, until, watch } from './stage.mjs'

const WIDE = { width: 1440, scheme: 'dark' }
const NARROW = { width: 390, scheme: 'light' }
const LOOKS = [WIDE, NARROW, { width: 1440, scheme: 'light' }, { width: 390, scheme: 'dark' }]

const server = new Server()
const keys = {
  ops: server.key('ops', 'free', 'admin'),
  feed: server.key('feed', 'free', 'publisher'),
  alice: server.key('alice', 'elite', 'subscriber'),
  bob: server.key('bob', 'pro', 'subscriber'),
}
for (const name of ['carol@example.com', 'desk-7', 'market.maker']) server.stentor('account', 'create', name, '--tier', 'enterprise')
const zed = server.key('zed', 'enterprise', 'subscriber')
await server.start()
// More webhooks than a page of the list has, and older than all others.
for (let n = 0; n < 60; n += 1) {
  const url = `http://127.0.0.1:9999/${n === 0 ? 'first-of-all' : n}`
  const { webhook } = await server.request('POST', '/api/webhooks', zed, { url, events: ['trade.new'] })
  if (n === 0) await server.request('PUT', `/api/webhooks/${webhook.id}`, zed, { is_active: false })
}
await server.request('PUT', '/api/watchlist', keys.alice, { owners: ['DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump'] })
const traffic = new Traffic(server, keys)
await traffic.begin()
const browser = await openBrowser()

const fact = (page, name) => page.locator('.facts div', { has: page.getByText(name, { exact: true }) }).locator('dd').textContent()
const shown = (page, title) => page.getByRole('region', { name: title, exact: true }).locator('.value').textContent()

/** Each is given a page; those of `look` at every size and in both colours. */
const checks = {
  async 'a key that opens nothing is refused in words, and the page stays closed'(visit) {
    const { page } = visit
    visit.expected = new Set(['401', '403'])
    await visit.shoot('key')
    await visit.enter('stn_0000000000000000000000000000000000000000000')
    await page.getByRole('alert').getByText('does not exist or was revoked').waitFor()
    await visit.enter(keys.alice)
    await page.getByRole('alert').getByText('not an admin key').waitFor()
    assert.equal(await page.getByRole('navigation').count(), 0)
    assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'no key is kept that opens nothing')
    await visit.enter(keys.ops)
    await visit.state('Live')
    assert.equal(await page.evaluate(() => localStorage.length), 0, 'the key stays in the tab')
  },

  async 'numbers move by themselves and nothing else on the page does'(visit) {
    const { page } = visit
    await visit.enter(keys.ops)
    await visit.state('Live')
    await until('events a second', async () => (await shown(page, 'Published')).match(/^[1-9]/))
    await until('deliveries a second', async () => (await shown(page, 'Delivered')).match(/^[1-9]/))
    await until('a topic', async () => (await page.getByRole('region', { name: /Busiest topics/ }).textContent()).includes('price:mint-0'))
    await page.evaluate(() => {
      window.shifts = []
      // The parts of a bar are numbers, too: they may grow and shrink.
      const strayed = (sources) => sources.map(({ node }) => node).filter((node) => !node?.closest?.('.track'))
      const note = (list) => list.getEntries().forEach(({ sources }) => window.shifts.push(...strayed(sources).map((node) => node?.className ?? node?.nodeName)))
      new PerformanceObserver(note).observe({ type: 'layout-shift' })
    })
    const numbers = new Set()
    await until('five numbers of the newest event', async () => numbers.add(await fact(page, 'Newest event')).size >= 5)
    assert.deepEqual(await page.evaluate(() => window.shifts), [], 'nothing jumps')
    const ink = await page.locator('canvas').first().evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      return data.some((byte, n) => n % 4 === 3 && byte > 0)
    })
    assert.ok(ink, 'the plot has a line')
  },

  async 'an account and a key are made, a socket comes in by it, and goes when it is revoked'(visit) {
    const { page } = visit
    const name = `trader-${visit.width}`
    visit.expected = new Set(['400'])
    await visit.enter(keys.ops)
    await visit.view('Accounts')
    await page.getByRole('button', { name: 'New account' }).click()
    await page.getByLabel('Name').fill('not a name')
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByRole('dialog').getByRole('alert').getByText('may hold only').waitFor()
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('Tier').selectOption('elite')
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByRole('heading', { name }).waitFor()
    await page.getByText('No keys yet').waitFor()
    await page.getByRole('button', { name: 'New key' }).click()
    await visit.shoot('new-key')
    await page.getByRole('button', { name: 'Create key' }).click()
    const secret = await page.locator('[data-secret]').textContent()
    await visit.shoot('secret')
    await page.getByRole('button', { name: 'I have saved it' }).click()
    const socket = watch(server.address, secret)
    await until('socket of the new key', () => socket.opened)
    await page.getByRole('button', { name: /^Revoke stn_/ }).click()
    await page.getByRole('button', { name: 'Revoke key' }).click()
    assert.equal(await until('end of its socket', () => socket.code), 4401)
    await page.getByRole('cell', { name: 'revoked' }).waitFor()
    assert.ok(!(await page.content()).includes(secret), 'the secret is nowhere any more')
    await page.getByRole('button', { name: 'Edit' }).click()
    await page.getByLabel('Grants').fill('bot:a\nprice:*')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('bot:a price:*').waitFor()
    await visit.shoot('account')
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Delete account' }).click()
    await page.getByRole('link', { name: 'market.maker' }).waitFor()
    assert.equal(await page.getByRole('link', { name }).count(), 0)
  },

  async 'a tail shows what is published, as it was sent, and rests while it is paused'(visit) {
    const { page } = visit
    await visit.enter(keys.ops)
    await visit.view('Tail')
    await page.getByLabel('Topics').fill('alerts user:somebody market:BTC_USD')
    await page.getByRole('button', { name: 'Start' }).click()
    await page.locator('.badge', { hasText: 'live' }).waitFor()
    const events = page.getByRole('log')
    const note = (words) => ({ type: 'note', topic: 'user:somebody', data: { words } })
    await traffic.publish([alert(7, { event_title: `marker-${visit.width}` }), note(`mine-${visit.width}`)])
    await events.locator('summary', { hasText: `mine-${visit.width}` }).waitFor()
    await page.getByLabel('Filter').fill(`marker-${visit.width}`)
    await until('one line', async () => (await events.locator('details:visible').count()) === 1)
    await events.locator('details:visible summary').click()
    await events.locator('pre', { hasText: `"event_title": "marker-${visit.width}"` }).waitFor()
    await visit.shoot('tail-open')
    await page.getByLabel('Filter').fill('')
    await page.getByRole('button', { name: 'Pause' }).click()
    await traffic.publish([note('while paused')])
    await page.getByText(/[1-9]\d* waiting/).waitFor()
    assert.equal(await events.locator('summary', { hasText: 'while paused' }).count(), 0)
    await page.getByRole('button', { name: 'Resume' }).click()
    await events.locator('summary', { hasText: 'while paused' }).waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    visit.expected = new Set(['400'])
    await page.getByLabel('Topics').fill('nonsense')
    await page.getByRole('button', { name: 'Start' }).click()
    await page.getByText('no such topic').waitFor()
  },

  async 'a webhook is looked at, tested, disabled, enabled and replayed'(visit) {
    const { page } = visit
    await visit.enter(keys.ops)
    await visit.view('Webhooks')
    await page.getByRole('link', { name: /\/trades/ }).click()
    await page.getByRole('cell', { name: 'delivered' }).first().waitFor()
    await page.getByRole('button', { name: 'Send a test' }).click()
    await page.getByText('your endpoint answered 200').waitFor()
    await page.getByRole('cell', { name: 'webhook.test' }).first().waitFor()
    await visit.shoot('webhook')
    await page.getByRole('button', { name: 'Disable' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click()
    await page.getByText('disabled: owner').waitFor()
    await page.getByRole('button', { name: 'Enable' }).click()
    await page.getByRole('button', { name: 'Replay…' }).click()
    await page.getByLabel('After the event number').fill('0')
    await page.getByRole('button', { name: 'Replay', exact: true }).click()
    await page.getByText('Replay begun').waitFor()
  },

  async 'a webhook that is older than the first page is reached and shown as it is'(visit) {
    const { page } = visit
    await visit.enter(keys.ops)
    await visit.view('Webhooks')
    await page.getByRole('link', { name: /\/trades/ }).waitFor()
    await page.getByText(/^The newest 50 of \d+$/).waitFor()
    assert.equal(await page.getByRole('link', { name: /first-of-all/ }).count(), 0)
    await page.getByRole('button', { name: 'Show older' }).click()
    await page.getByRole('link', { name: /first-of-all/ }).click()
    await page.getByRole('heading', { name: /first-of-all/ }).waitFor()
    await page.getByText('disabled: owner').waitFor()
    await page.getByRole('button', { name: 'Enable' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: /first-of-all/ }).waitFor()
    visit.expected = new Set(['404'])
    await page.evaluate(() => (location.hash = '#/webhooks/wh_0123456789abcdef'))
    await page.getByRole('alert').getByText('could not be loaded').waitFor()
    assert.equal(await page.locator('.badge').count(), 0, 'nothing is told of what is not known')
  },

  async 'an address that means nothing leads to the live view'(visit) {
    const { page } = visit
    const titled = (title) => page.waitForFunction((title) => document.title === `${title} · Stentor`, title)
    await visit.enter(keys.ops)
    await visit.state('Live')
    for (const hash of ['#/accounts/%E0%A4%A', '#/%', '#/nonsense/x']) {
      await visit.view('Accounts')
      await titled('Accounts')
      await page.evaluate((hash) => (location.hash = hash), hash)
      await titled('Live')
    }
    await page.evaluate(() => (location.hash = '#/%E0%A4%A'))
    await page.reload()
    await titled('Live')
  },

  async 'a server that goes away and comes back is told, and nobody has to log in again'(visit) {
    const { page } = visit
    await visit.enter(keys.ops)
    await visit.state('Live')
    visit.expected = new Set(['offline', '503'])
    await server.stop()
    await visit.state('Offline')
    await page.getByText('What is shown is from before').waitFor()
    await visit.shoot('offline')
    await server.start()
    traffic.connect()
    await visit.state('Live')
    visit.expected = new Set()
    const before = await fact(page, 'Newest event')
    await until('newer event', async () => (await fact(page, 'Newest event')) !== before)
    assert.equal(await page.locator('.banner').isVisible(), false)
  },

  async 'a key that is revoked ends the page that it opened'(visit) {
    const { page } = visit
    visit.expected = new Set(['401'])
    const key = server.stentor('key', 'create', 'ops', '--role', 'admin')
    await until('the key', () => server.request('GET', '/api/admin/status', key).catch(() => undefined))
    await visit.enter(key)
    await visit.state('Live')
    const { keys: listed } = await server.request('GET', '/api/keys', keys.ops)
    const { id } = listed.findLast(({ prefix, revoked }) => !revoked && key.startsWith(prefix))
    await server.request('DELETE', `/api/keys/${id}`, keys.ops)
    await page.getByText('The key is no longer in force').waitFor()
  },

  async 'the page is worked by the keyboard alone'(visit) {
    const { page } = visit
    await page.keyboard.type(keys.ops)
    await page.keyboard.press('Enter')
    await visit.state('Live')
    await page.reload()
    await visit.state('Live')
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content')
    await page.getByRole('link', { name: 'Accounts' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'New account' }).focus()
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(() => document.activeElement.name), 'name', 'the first field has the focus')
    await page.keyboard.press('Escape')
    await until('end of the dialog', async () => (await page.getByRole('dialog').count()) === 0)
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'New account', 'and it goes back')
  },
}

const looks = {
  async 'every view fits and is painted in its colours'(visit) {
    const { page, scheme } = visit
    const audited = `audited-${visit.width}-${scheme}`
    await server.request('POST', '/api/admin/accounts', keys.ops, { name: audited, tier: 'free' })
    await visit.enter(keys.ops)
    await visit.state('Live')
    await until('a minute’s topics', async () => (await page.getByRole('region', { name: /Busiest topics/ }).textContent()).includes('price:'))
    await until('some seconds of plots', async () => (await page.evaluate(() => performance.now())) > 9_000)
    await visit.shoot('live')
    for (const [name, words] of [['Accounts', 'market.maker'], ['Webhooks', '/broken'], ['Audit', 'account.create']]) {
      await visit.view(name)
      await page.getByRole('main').getByText(words).first().waitFor()
      if (name === 'Audit') await page.locator('tr', { hasText: audited }).getByText(words).waitFor()
      await visit.shoot(name.toLowerCase())
    }
    await visit.view('Tail')
    await page.getByLabel('Topics').fill('alerts price:mint-0 wallet:DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump')
    await page.getByRole('button', { name: 'Start' }).click()
    await until('lines', async () => (await page.locator('.tail details').count()) > 12)
    await visit.shoot('tail')
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
    const light = 'rgb(246, 247, 249)'
    assert.equal((await ground()) === light, scheme === 'light')
    await page.getByRole('button', { name: 'Light or dark' }).click()
    assert.equal((await ground()) === light, scheme === 'dark', 'the button is for the other')
  },
}

const only = process.argv[3] ?? ''
const performances = [
  ...LOOKS.flatMap((look) => Object.entries(looks).map(([name, check]) => [name, check, look])),
  ...[WIDE, NARROW].flatMap((look) => Object.entries(checks).map(([name, check]) => [name, check, look])),
].filter(([name]) => name.includes(only))

let [passed, failed] = [0, 0]
for (const [name, check, look] of performances) {
  const began = performance.now()
  const told = `${name}, ${look.width} px, ${look.scheme}`
  let visit
  try {
    visit = await Visit.open(browser, server, look)
    await check(visit)
    await visit.end()
    passed += 1
    console.log(`ok      ${told} (${((performance.now() - began) / 1000).toFixed(1)} s)`)
  } catch (error) {
    failed += 1
    console.log(`FAILED  ${told}\n${error.stack}\n${visit?.complaints.join('\n') ?? ''}`)
    await visit?.page.screenshot({ path: `target/console/failed-${failed}.png` }).catch(() => {})
    await visit?.context.close().catch(() => {})
  }
}
await browser.close()
traffic.end()
server.end()
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
