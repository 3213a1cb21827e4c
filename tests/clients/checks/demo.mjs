// The demo: what it prints is pasted, as a newcomer would.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { here } from '../stage.mjs'

/** The lines that are printed to be pasted, by the protocol that they stand under. */
async function printedLines(demo) {
  await demo.line('user token')
  const sections = {}
  let section
  for (const line of demo.lines) {
    section = line.match(/^── (\w+): /)?.[1] ?? section
    if (line.startsWith('  ')) (sections[section] ??= []).push(line.trim())
  }
  return sections
}

/** What a client's first lines look like, and what shows that the event which was published by a printed line has come. */
const SHOWS = {
  watchlist: { node: /^\d+ (open|increase|close|liquidation) \w{8} \w+-PERP (long|short) \$/, python: /"type":"trade"/, mine: 'MyOwnWal' },
  tiered: { node: /^\d+ (BUY|SELL) (Yes|No) Will \w+ be above \$/, python: /"type":"alert"/, mine: 'Will my alert arrive?' },
  channels: { node: /"type":"(price_update|bot_update|transaction_confirmed)"/, python: /"type":"bot_update"/, mine: '"mine"' },
  rooms: { node: /"type":"(position_status_update|in_app_notification|market_data_update)"/, python: /"type":"(position_status|market_data)_update"/, mine: 'notif_mine' },
}

export const checks = {
  async 'every line that it prints can be pasted, and shows what it says'(stage) {
    const demo = stage.demo('--rate', '50')
    const { webhooks, ...sections } = await printedLines(demo)
    assert.deepEqual(Object.keys(sections), Object.keys(SHOWS))
    const paste = (line) => stage.run(['sh', '-c', line], { cwd: here, pasted: true })
    const clients = Object.entries(sections).map(([section, lines]) => {
      const [node, python, ...curls] = lines
      assert.ok(node.startsWith('node -e ') && python.includes('python3 -m websockets') && curls.length > 0, section)
      assert.ok(curls.every((line) => line.startsWith('curl ')), section)
      return { ...SHOWS[section], curls, js: paste(node), py: paste(python), nodePattern: SHOWS[section].node }
    })
    for (const { js, py, nodePattern, python } of clients) {
      await js.until(`line like ${nodePattern}`, (lines) => lines.find((line) => nodePattern.test(line)))
      await py.until(`line like ${python}`, (lines) => lines.find((line) => python.test(line)))
    }
    for (const { js, py, curls, mine } of clients) {
      for (const curl of curls) {
        const pasted = paste(curl)
        assert.equal(await pasted.exit, 0, pasted.errors)
        assert.match(pasted.lines.join(''), /"accepted":1|"success":true/, curl)
      }
      await js.until(`line with ${mine}`, (lines) => lines.find((line) => line.includes(mine)))
      await py.until(`line with ${mine}`, (lines) => lines.find((line) => line.includes(mine.replace('MyOwnWal', 'MyOwnWallet'))))
    }

    const receivers = webhooks.filter((line) => !line.startsWith('curl ')).map(paste)
    assert.equal(receivers.length, 2)
    for (const receiver of receivers) await receiver.line('receiving')
    for (const curl of webhooks.filter((line) => line.startsWith('curl '))) {
      const pasted = paste(curl)
      assert.equal(await pasted.exit, 0, pasted.errors)
      assert.match(pasted.lines.join(''), /"success":true/, curl)
    }
    const trade = /^(trade\.(?:new|close)) \{"id":"evt_\w+","type":"\1","created":\d+,"data":\{/
    for (const receiver of receivers) await receiver.until('trade', (lines) => lines.find((line) => trade.test(line)))
  },

  async 'the clients in the README work with what it prints'(stage) {
    const demo = stage.demo('--rate', '50')
    const [KEY, TOKEN] = [await demo.line('subscriber key'), await demo.line('user token')].map((line) => line.split(/\s+/).pop())
    const address = demo.lines[0].match(/on ([^,]+),/)[1]
    const section = readFileSync(join(here, '../../README.md'), 'utf8').match(/\n## The demo\n([^]*?)\n## /)[1]
    const lines = section.split('\n').filter((line) => line.startsWith('node -e '))
    const shows = [/"type":"trade"/, /"type":"alert"/, /"type":"bot_update"/, /"type":"market_data_update"/]
    assert.equal(lines.length, shows.length)
    const pasted = lines.map((line) => {
      assert.ok(line.includes('127.0.0.1:5001'), line)
      return stage.run(['sh', '-c', line.replace('127.0.0.1:5001', address)], { cwd: here, pasted: true, env: { KEY, TOKEN } })
    })
    for (const [at, client] of pasted.entries()) {
      await client.until(`line like ${shows[at]}`, (said) => said.find((line) => shows[at].test(line)))
    }
  },

  async 'its events have rising numbers, and its trades are whole'(stage) {
    const demo = stage.demo('--rate', '50')
    const key = (await demo.line('subscriber key')).split(/\s+/).pop()
    const address = (await demo.line("Stentor's demo is on")).match(/on ([^,]+),/)[1]
    const listener = stage.program('ws', 'watchlist.cjs', `ws://${address}/ws/alerts?apiKey=${key}`)
    await listener.until('30 trades', () => listener.messages('trade').length >= 30)
    listener.messages('trade').forEach(({ seq, data }, at, all) => {
      assert.ok(at === 0 || seq > all[at - 1].seq, `${seq} after ${all[at - 1]?.seq}`)
      assert.ok(['open', 'increase', 'close', 'liquidation'].includes(data.tradeType) && ['long', 'short'].includes(data.side))
      assert.ok([data.owner, data.marketSymbol].every((text) => typeof text === 'string') && !Number.isNaN(Date.parse(data.timestamp)))
      assert.ok([data.sizeUsd, data.leverage, data.entryPrice].every((number) => typeof number === 'number' && number >= 0))
    })
  },
}
