// A channels client: key and subscriptions in one breath, a JSON ping every 30 seconds. Usage: node channels.cjs URL KEY
//
// SIGUSR2 makes it leave the bot's channel.
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const [url, apiKey] = process.argv.slice(2)
const PING_MS = 30_000
const RECONNECT_MS = 1000
const BOT = { channel: 'bot', botId: 'bot_abc123' }
const PRICE = { channel: 'price', mint: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v' }
const TRANSACTIONS = { channel: 'transactions', wallet: 'DemoWallet111' }
let ws
let leaving = false

const send = (message) => ws.send(JSON.stringify(message))

function connect() {
  ws = new WebSocket(url)
  ws.onopen = () => {
    say('open')
    send({ type: 'auth', apiKey })
    for (const channel of [BOT, PRICE, TRANSACTIONS]) send({ type: 'subscribe', ...channel })
  }
  ws.onmessage = (event) => say('message', JSON.stringify(JSON.parse(event.data)))
  whenLost(ws, () => {
    if (leaving) process.exit()
    setTimeout(connect, RECONNECT_MS)
  })
}

setInterval(() => {
  if (ws.readyState === WebSocket.OPEN) send({ type: 'ping' })
}, PING_MS)
obey({ leave: () => ((leaving = true), ws.close(1000)), unsubscribe: () => send({ type: 'unsubscribe', ...BOT }) })
connect()
