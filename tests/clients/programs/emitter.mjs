// A subscriber on npm's `ws`, as an event emitter. Usage: node emitter.mjs URL
//
// Prints a line for each thing that happens: `open EXTENSIONS`, `trade [fields]`, `ping`, `error …`, `close CODE REASON`.
import WebSocket from 'ws'

const socket = new WebSocket(process.argv[2])
socket.on('open', () => console.log('open', JSON.stringify(socket.extensions)))
socket.on('message', (message, isBinary) => {
  const { type, seq, data } = JSON.parse(message)
  if (type === 'reconnect') return
  if (isBinary || type !== 'trade') throw new Error(`not a trade in text: ${message}`)
  const { tradeType, owner, marketSymbol, side, sizeUsd, leverage, entryPrice, timestamp } = data
  console.log('trade', JSON.stringify([seq, tradeType, owner, marketSymbol, side, sizeUsd, leverage, entryPrice, timestamp]))
})
socket.on('ping', () => {
  console.log('ping')
  // The library has answered already; many clients answer once more by hand, and that must not hurt.
  socket.pong()
})
socket.on('error', (error) => console.log('error', error.message))
socket.on('close', (code, reason) => console.log('close', code, String(reason)))
process.on('SIGTERM', () => socket.close(1000))
