// A client of any protocol that misses nothing: it keeps the number of what it had last, and comes back with it.
// Usage: node resuming.cjs URL OPENING
//
// OPENING are the messages that it begins with, as a JSON array; a protocol without any takes the number in its URL.
const { WebSocket, say, whenLost, obey } = require('./library.cjs')

const [url, opening] = [process.argv[2], JSON.parse(process.argv[3])]
const RECONNECT_MS = 200
/** A program keeps it where it survives its own end; 0 is all that the server has. */
let since = 0

function connect() {
  const ws = new WebSocket(opening.length > 0 ? url : `${url}&since=${since}`)
  ws.onopen = () => {
    say('open')
    for (const message of opening) ws.send(JSON.stringify({ ...message, since }))
  }
  ws.onmessage = (event) => {
    say('message', event.data)
    const { type, seq, to } = JSON.parse(event.data)
    if (type === 'gap') since = to
    else if (seq !== undefined) since = seq
  }
  whenLost(ws, () => setTimeout(connect, RECONNECT_MS))
}

obey({ leave: () => process.exit() })
connect()
