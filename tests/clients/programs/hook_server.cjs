// A whole webhook server on Express: checks the signature over JSON.stringify of the parsed body, and makes of each new trade
// the message that it would pass on to a chat. Usage: WEBHOOK_SECRET=… node hook_server.cjs PORT
const crypto = require('node:crypto')
const express = require('express')

const app = express()
app.use(express.json())

const isSigned = (payload, signature) =>
  signature === crypto.createHmac('sha256', process.env.WEBHOOK_SECRET).update(JSON.stringify(payload)).digest('hex')

/** Calls on every field what such a receiver calls on it, so one that is missing or of another type throws. */
const chatMessage = (trade) => ({
  title: `${trade.side === 'long' ? '🟢' : '🔴'} ${trade.side.toUpperCase()} ${trade.marketSymbol}`,
  size: `$${trade.sizeUsd.toLocaleString()}`,
  leverage: `${trade.leverage}x`,
  entry: `$${trade.entryPrice}`,
  trader: `${trade.owner.slice(0, 8)}...`,
  timestamp: trade.timestamp,
})

app.post('/webhook', async (request, response) => {
  if (!isSigned(request.body, request.headers['x-webhook-signature'])) {
    console.log('refused')
    return response.status(401).send('Unauthorized')
  }
  const { type, data } = request.body
  try {
    if (type === 'trade.new') console.log('chat', JSON.stringify(chatMessage(data)))
    console.log('verified', JSON.stringify(request.body))
    response.status(200).send('OK')
  } catch (error) {
    console.log('failed', error.message)
    response.status(500).send('Error')
  }
})
app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'))
