// A receiver on Express that checks a webhook's signature over the body as it was parsed and written again.
// Usage: WEBHOOK_SECRET=… node hook_middleware.cjs PORT
const crypto = require('node:crypto')
const express = require('express')

const secret = process.env.WEBHOOK_SECRET

/** In constant time; the digests are compared as their hexadecimal text. */
function isSigned(payload, signature) {
  const own = crypto.createHmac('sha256', secret).update(payload).digest('hex')
  return crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(own))
}

const app = express()
app.use(express.json())
app.post('/webhook', (request, response) => {
  const payload = JSON.stringify(request.body)
  if (!isSigned(payload, request.headers['x-webhook-signature'])) {
    console.log('refused')
    return response.status(401).send('Invalid signature')
  }
  console.log('verified', payload)
  response.status(200).send('OK')
})
app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'))
