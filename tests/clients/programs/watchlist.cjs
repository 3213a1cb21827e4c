// A watchlist client that comes back five seconds after it lost its connection. Usage: node watchlist.cjs URL
//
// On `ws` it is an event emitter and answers pings by hand, too; on node's own WebSocket there is no such thing.
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const RECONNECT_MS = 5000
let socket
let leaving = false

function connect() {
  socket = new WebSocket(process.argv[2])
  if (!socket.on) {
    socket.onopen = () => say('open')
    socket.onmessage = (event) => say('message', event.data)
    return whenLost(socket, lost)
  }
  const ws = socket
  ws.on('open', () => say('open'))
  ws.on('message', (data) => say('message', String(data)))
  ws.on('ping', () => ws.pong())
  ws.on('close', (code, reason) => {
    say('close', code, String(reason))
    lost()
  })
  ws.on('error', (error) => {
    say('error', error.message)
    ws.close()
  })
}

function lost() {
  if (!leaving) setTimeout(connect, RECONNECT_MS)
}

obey({ leave: () => ((leaving = true), socket.close(1000)) })
connect()
