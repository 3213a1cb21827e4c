// Holds a built `stentor` against the public client libraries. Usage: node run.mjs STENTOR
//
//   stentor serve | demo  ──▶  programs/ on npm's ws, node's own WebSocket, PyPI's websockets  ──▶  lines, compared by checks/
//   stentor publish  ──▶               └──▶  programs/hook_* on Express, Flask and the standardwebhooks libraries  ──▶  …
//
// Each check starts a server of its own. The long ones wait for heartbeats, 80 s in all: they start at once, side by side;
// as soon as their programs are connected the others take turns. The last line is `N passed, M failed`. A second argument
// performs only the checks whose name holds it.
import * as channels from './checks/channels.mjs'
import * as demo from './checks/demo.mjs'
import * as readme from './checks/readme.mjs'
import * as reconnect from './checks/reconnect.mjs'
import * as resume from './checks/resume.mjs'
import * as rooms from './checks/rooms.mjs'
import * as tiered from './checks/tiered.mjs'
import * as watchlist from './checks/watchlist.mjs'
import * as webhooks from './checks/webhooks.mjs'
import * as wss from './checks/wss.mjs'
import { Stage, sinceStart, sleep } from './stage.mjs'

/** Checks beside the long ones: more would only wait for each other's processors. */
const TURNS = 4
/** What the programs of the long ones need to connect, where nothing else starts. */
const HEAD_START_MS = 2500

const suites = { watchlist, tiered, channels, rooms, reconnect, resume, readme, demo, webhooks, wss }
const only = process.argv[3] ?? ''
const listed = (kind) =>
  Object.entries(suites).flatMap(([suite, module]) =>
    Object.entries(module[kind] ?? {}).map(([name, check]) => [`${suite}: ${name}`, check]),
  ).filter(([name]) => name.includes(only))

let [passed, failed] = [0, 0]

async function perform([name, check]) {
  const stage = new Stage()
  const began = sinceStart()
  const took = () => `${((sinceStart() - began) / 1000).toFixed(1)} s`
  try {
    await check(stage)
    passed += 1
    console.log(`ok      ${name} (${took()})`)
  } catch (error) {
    failed += 1
    console.log(`FAILED  ${name} (${took()})\n${error.stack}`)
  } finally {
    stage.end()
  }
}

const waiting = listed('checks')
const long = listed('long')
const turn = async () => {
  if (long.length > 0) await sleep(HEAD_START_MS)
  for (let next = waiting.shift(); next; next = waiting.shift()) await perform(next)
}
await Promise.all([...long.map(perform), ...Array.from({ length: TURNS }, turn)])
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
