// A rooms client with its token in the upgrade's header and in a message. Usage: node header.cjs URL TOKEN
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const [url, token] = process.argv.slice(2)
const ws = new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } })
ws.onopen = () => {
  say('open')
  ws.send(JSON.stringify({ type: 'auth', token }))
  ws.send(JSON.stringify({ type: 'list_rooms' }))
}
ws.onmessage = (event) => say('message', event.data)
whenLost(ws, () => {})
obey({ leave: () => ws.close(1000) })
