// A receiver that leaves the checking to npm's standardwebhooks. Usage: WEBHOOK_SECRET=… node hook_standard.cjs PORT
const express = require('express')
const { Webhook, WebhookVerificationError } = require('standardwebhooks')

const webhook = new Webhook(process.env.WEBHOOK_SECRET)

const app = express()
app.use(express.raw({ type: 'application/json' }))
app.post('/webhook', (request, response) => {
  try {
    console.log('verified', JSON.stringify(webhook.verify(request.body.toString(), request.headers)))
    response.status(204).end()
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error
    console.log('refused', error.message)
    response.status(401).end()
  }
})
app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'))
