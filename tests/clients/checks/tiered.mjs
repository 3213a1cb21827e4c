// The tiered protocol: a greeting, alerts, and the text `ping` that a client owes.
import assert from 'node:assert/strict'
import { alert, message, trade } from '../events.mjs'
import { LIBRARIES, sinceStart, sleep } from '../stage.mjs'

/** The program on a library. Python's says what `plan` has. */
function listen(stage, library, address, key, plan = { heartbeat: ['ping', 25] }) {
  const url = `ws://${address}/ws/alerts?api_key=${key}`
  if (library === 'websockets') return stage.program(library, 'session.py', url, JSON.stringify(plan))
  return stage.program(library, 'tiered.cjs', url)
}

async function serving(stage, tier) {
  const subscriber = stage.key('reader', tier)
  const publisher = stage.key('feed', 'free', 'publisher')
  return { server: await stage.serve(), subscriber, publisher }
}

export const long = {
  async 'a greeting, alerts, a pong for each ping, and a silent client is closed with 4408'(stage) {
    const { server, subscriber, publisher } = await serving(stage, 'pro')
    const listeners = Object.keys(LIBRARIES).map((library) => listen(stage, library, server.address, subscriber))
    const silent = listen(stage, 'websockets', server.address, subscriber, {})
    for (const listener of [...listeners, silent]) {
      const { seq, message: text, ...greeting } = await listener.message('greeting', ({ type }) => type === 'connected')
      assert.deepEqual(greeting, { type: 'connected', tier: 'pro' })
      assert.ok(Number.isInteger(seq) && typeof text === 'string', listener.name)
    }
    const connected = sinceStart()
    const early = [alert(1), alert(2, { side: 'SELL' })]
    const last = stage.publish(server.address, publisher, [...early, trade('open')])
    const expected = early.map((event, at) => message(last - 2 + at, event))
    assert.match(await silent.line('close', 40_000), /^close 4408 /)
    for (const listener of listeners) {
      assert.equal((await listener.message('pong', ({ type }) => type === 'pong')).type, 'pong', listener.name)
    }
    // A second window goes by, which only the second ping outlives.
    await sleep(Math.max(0, connected + 57_000 - sinceStart()))
    expected.push(message(stage.publish(server.address, publisher, [alert(3)]), alert(3)))
    for (const listener of listeners) {
      await listener.message('third alert', ({ data }) => data?.id === 3)
      assert.deepEqual(listener.messages('alert'), expected, listener.name)
      assert.deepEqual([listener.count('close'), listener.count('error'), listener.messages('connected').length], [0, 0, 1])
      assert.equal(listener.messages('pong').length, 2, listener.name)
      listener.child.kill('SIGTERM')
      assert.match(await listener.line('close'), /^close 1000/, listener.name)
    }
  },
}

export const checks = {}

for (const library of Object.keys(LIBRARIES)) {
  checks[`the free tier shows 4403 and a reason, and is refused when it comes again (${library})`] = async (stage) => {
    const { server, subscriber } = await serving(stage, 'free')
    const listener = listen(stage, library, server.address, subscriber)
    assert.match(await listener.line('close'), /^close 4403 .*pro/)
    // Its own reconnection finds no open door: the answer comes before the upgrade.
    await listener.line('error')
    assert.equal(listener.count('open'), 1)
  }
}
