// The WebSocket that the programs beside this one use: npm's `ws`, or, with CLIENT_LIBRARY=native, node's own, which is a
// browser's. Beside it what every one of them does alike: telling what happens in lines, noticing an end, obeying signals.
exports.WebSocket = process.env.CLIENT_LIBRARY === 'native' ? globalThis.WebSocket : require('ws')

/** Prints `open`, `error …`, `close CODE REASON`; what else is on the line is JSON. */
exports.say = (word, ...rest) => console.log(word, ...rest)

/** Calls `lost` once when a socket in browser style has ended, or never came about. */
exports.whenLost = (ws, lost) => {
  let told = false
  const tell = (code, reason) => {
    if (told) return
    told = true
    exports.say('close', code, reason)
    lost()
  }
  ws.onclose = (event) => tell(event.code, event.reason)
  ws.onerror = (event) => {
    exports.say('error', event.message)
    // Node 20's own WebSocket fires no close event where no connection came about.
    setTimeout(tell, 100, 1006, '')
  }
}

/** SIGTERM ends the program with a close of its own; SIGUSR2 makes it unsubscribe. */
exports.obey = ({ leave = () => {}, unsubscribe = () => {} }) => {
  process.on('SIGTERM', leave)
  process.on('SIGUSR2', unsubscribe)
}
