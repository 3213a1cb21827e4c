// A tiered client: says the text `ping` every 25 seconds, backs off when it lost its connection. Usage: node tiered.cjs URL
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const PING_MS = 25_000
const DELAY_MS_MAX = 30_000
let delayMs = 1000
let ws
let leaving = false

function connect() {
  ws = new WebSocket(process.argv[2])
  ws.onopen = () => {
    say('open')
    delayMs = 1000
  }
  ws.onmessage = (event) => {
    const message = JSON.parse(event.data)
    switch (message.type) {
      case 'connected':
      case 'alert':
      case 'pong':
        return say('message', event.data)
      default:
        return say('error', `a message that nobody expects: ${event.data}`)
    }
  }
  whenLost(ws, () => {
    if (leaving) process.exit()
    setTimeout(connect, delayMs)
    delayMs = Math.min(delayMs * 2, DELAY_MS_MAX)
  })
}

setInterval(() => {
  if (ws.readyState === WebSocket.OPEN) ws.send('ping')
}, PING_MS)
obey({ leave: () => ((leaving = true), ws.close(1000)) })
connect()
