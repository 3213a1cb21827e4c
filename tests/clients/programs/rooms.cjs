// A rooms client, as a class that remembers its rooms and comes back by itself. Usage: node rooms.cjs URL TOKEN
//
// SIGUSR2 makes it leave the market. Prints `ready` and `rejected …` beside the usual lines.
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const State = { CONNECTING: 'connecting', CONNECTED: 'connected', AUTHENTICATED: 'authenticated', DISCONNECTED: 'disconnected' }
const ATTEMPTS_MAX = 8
const DELAY_MS = 500

class RoomsClient {
  ws = null
  state = State.DISCONNECTED
  attempts = 0
  handlers = new Map()
  rooms = new Set()

  constructor(url, token) {
    Object.assign(this, { url, token })
  }

  connect() {
    return new Promise((resolve, reject) => {
      this.ws = new WebSocket(this.url)
      this.state = State.CONNECTING
      this.ws.onopen = () => {
        say('open')
        this.state = State.CONNECTED
        this.attempts = 0
        this.ws.send(JSON.stringify({ type: 'auth', token: this.token }))
      }
      this.ws.onmessage = (event) => {
        say('message', event.data)
        const message = JSON.parse(event.data)
        this.emit(message.type, message)
      }
      whenLost(this.ws, () => {
        this.state = State.DISCONNECTED
        reject(new Error('Connection lost'))
        this.comeBack()
      })
      // Added once more with each connection, so that after a few every room is asked for several times.
      this.on('connection', ({ status }) => {
        if (status !== 'connected') return reject(new Error('Authentication failed'))
        this.state = State.AUTHENTICATED
        this.rooms.forEach((room) => this.subscribe(room))
        resolve()
      })
    })
  }

  comeBack() {
    if (this.attempts >= ATTEMPTS_MAX) return say('error', 'no more attempts')
    this.attempts++
    setTimeout(() => this.connect().catch(() => {}), DELAY_MS * 2 ** (this.attempts - 1))
  }

  on(type, handler) {
    if (!this.handlers.has(type)) this.handlers.set(type, new Set())
    this.handlers.get(type).add(handler)
  }

  emit(type, message) {
    this.handlers.get(type)?.forEach((handler) => handler(message))
  }

  send(message) {
    if (this.state === State.AUTHENTICATED) this.ws.send(JSON.stringify(message))
  }

  subscribe(channel) {
    this.send({ type: 'subscribe', channel })
    this.rooms.add(channel)
  }

  unsubscribe(channel) {
    this.send({ type: 'unsubscribe', channel })
    this.rooms.delete(channel)
  }

  disconnect() {
    this.attempts = ATTEMPTS_MAX
    this.ws.close(1000)
  }
}

const client = new RoomsClient(process.argv[2], process.argv[3])
client.on('error', (error) => {
  switch (error.code) {
    case 'AUTHENTICATION_FAILED':
      return say('told', 'to log in again')
    case 'INVALID_ROOM':
      return say('told', 'of a room that is none')
    default:
      return say('told', error.code)
  }
})
obey({
  leave: () => client.disconnect(),
  unsubscribe: () => {
    client.unsubscribe('market:BTC_USD')
    client.send({ type: 'list_rooms' })
    client.subscribe('market_data')
  },
})
client.connect().then(
  () => {
    say('ready')
    for (const room of ['market:BTC_USD', 'positions', 'notifications', 'margin_guard']) client.subscribe(room)
  },
  (error) => say('rejected', error.message),
)
