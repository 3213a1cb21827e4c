// A subscriber on npm's `ws`, with the interface that browsers have. Usage: node onmessage.cjs URL
//
// Prints what emitter.mjs prints, but for pings, which a browser does not show.
const WebSocket = require('ws')

const socket = new WebSocket(process.argv[2])
socket.onopen = () => console.log('open', JSON.stringify(socket.extensions))
socket.onmessage = (event) => {
  const message = JSON.parse(event.data)
  if (message.type === 'reconnect') return
  if (message.type !== 'trade') throw new Error(`not a trade: ${event.data}`)
  const trade = message.data
  const fields = ['tradeType', 'owner', 'marketSymbol', 'side', 'sizeUsd', 'leverage', 'entryPrice', 'timestamp']
  console.log('trade', JSON.stringify([message.seq, ...fields.map((field) => trade[field])]))
}
socket.onerror = (event) => console.log('error', event.message)
socket.onclose = (event) => console.log('close', event.code, event.reason)
process.on('SIGTERM', () => socket.close(1000))
