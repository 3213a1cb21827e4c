//! What the demo prints: for each protocol clients to paste and events to publish, receivers for webhooks, and the keys.
//!
//! `tests/clients` runs every line that is printed here with a blank before it.

use std::net::SocketAddr;

use super::DemoAccount;
use super::story::{BOT_ID, SOL_MINT, USER_ID};

/// Where the printed receivers listen.
const NODE_PORT: u16 = 9001;
const PYTHON_PORT: u16 = 9002;

/// The text that a newcomer sees.
pub fn welcome(address: SocketAddr, account: &DemoAccount, bot_wallet: &str) -> String {
    let DemoAccount { subscriber_key, publisher_key, user_token } = account;
    format!(
        r#"Stentor's demo is on {address}, with a made-up market. Each line below goes into another terminal.
The first of a protocol is JavaScript (npm install ws), the second Python (pip install websockets).

── watchlist: the trades of watched wallets ──
  node -e 'new (require("ws"))("ws://{address}/ws/alerts?apiKey={subscriber_key}").on("message", m => {{ const a = JSON.parse(m); if (a.type === "trade") console.log(a.seq, a.data.tradeType, a.data.owner.slice(0, 8), a.data.marketSymbol, a.data.side, "$" + a.data.sizeUsd) }})'
  python3 -m websockets 'ws://{address}/ws/alerts?apiKey={subscriber_key}'
Watch a wallet of your own, and let it trade:
  curl http://{address}/api/watchlist -H 'X-API-Key: {subscriber_key}' -d '{{"owner":"MyOwnWallet"}}'
  curl http://{address}/api/events -H 'X-API-Key: {publisher_key}' -d '{{"type":"trade.open","data":{{"owner":"MyOwnWallet","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2026-01-15T10:30:00Z"}}}}'

── tiered: alerts for all; the client sends ping ──
  node -e 'const ws = new (require("ws"))("ws://{address}/ws/alerts?api_key={subscriber_key}"); ws.onmessage = e => {{ const m = JSON.parse(e.data); if (m.type === "alert") console.log(m.seq, m.data.side, m.data.outcome, m.data.event_title, "$" + m.data.usdc_value) }}; setInterval(() => ws.send("ping"), 25000); ws.onclose = () => process.exit()'
  while sleep 20; do echo ping; done | python3 -m websockets 'ws://{address}/ws/alerts?api_key={subscriber_key}'
Publish an alert, and fetch the newest ones:
  curl http://{address}/api/events -H 'X-API-Key: {publisher_key}' -d '{{"type":"alert","data":{{"id":1,"alert_type":"fresh","side":"BUY","outcome":"Yes","entry_price":0.42,"usdc_value":2100,"signal_score":72,"event_title":"Will my alert arrive?","category":"demo"}}}}'
  curl 'http://{address}/alerts/latest?limit=3' -H 'X-API-Key: {subscriber_key}'

── channels: a bot, a price and a wallet's transactions, by subscription ──
  node -e 'const ws = new (require("ws"))("ws://{address}/v1/ws"), send = m => ws.send(JSON.stringify(m)); ws.onopen = () => {{ send({{type: "auth", apiKey: "{subscriber_key}"}}); send({{type: "subscribe", channel: "bot", botId: "{BOT_ID}"}}); send({{type: "subscribe", channel: "price", mint: "{SOL_MINT}"}}); send({{type: "subscribe", channel: "transactions", wallet: "{bot_wallet}"}}); setInterval(send, 30000, {{type: "ping"}}) }}; ws.onmessage = e => console.log(e.data); ws.onclose = () => process.exit()'
  (echo '{{"type":"auth","apiKey":"{subscriber_key}"}}'; echo '{{"type":"subscribe","channel":"bot","botId":"{BOT_ID}"}}'; while sleep 30; do echo '{{"type":"ping"}}'; done) | python3 -m websockets ws://{address}/v1/ws
Publish what the bot did:
  curl http://{address}/api/events -H 'X-API-Key: {publisher_key}' -d '{{"type":"bot_update","topic":"bot:{BOT_ID}","data":{{"botId":"{BOT_ID}","event":"trade_executed","data":{{"signature":"mine","profit":0.15,"timestamp":"2026-01-15T10:30:00Z"}}}}}}'

── rooms: a user's events, and markets by subscription, with a token ──
  node -e 'const ws = new (require("ws"))("ws://{address}/ws", {{headers: {{Authorization: "Bearer {user_token}"}}}}); ws.onopen = () => ws.send(JSON.stringify({{type: "subscribe", channel: "market:BTC_USD"}})); ws.onmessage = e => console.log(e.data)'
  (echo '{{"type":"auth","token":"{user_token}"}}'; echo '{{"type":"subscribe","channel":"market:BTC_USD"}}'; cat) | python3 -m websockets ws://{address}/ws
Publish something for that user alone:
  curl http://{address}/api/events -H 'X-API-Key: {publisher_key}' -d '{{"type":"in_app_notification","topic":"user:{USER_ID}","data":{{"id":"notif_mine","userId":"{USER_ID}","title":"Hello","message":"Only {USER_ID} sees this","type":"info","category":"demo","data":{{}},"read":false,"createdAt":"2026-01-15T10:30:00Z"}}}}'

── webhooks: the watched trades as signed POSTs to receivers of yours ──
  node -e 'require("http").createServer((request, response) => {{ let body = ""; request.on("data", (piece) => body += piece).on("end", () => {{ console.log(request.headers["x-event-type"], body); response.end() }}) }}).listen({NODE_PORT}, "127.0.0.1", () => console.log("receiving"))'
  python3 -uc 'import http.server as h; sink = type("Sink", (h.BaseHTTPRequestHandler,), {{"do_POST": lambda r: (print(r.headers["x-event-type"], r.rfile.read(int(r.headers["content-length"])).decode()), r.send_response(204), r.end_headers()), "log_message": lambda *_: None}}); server = h.ThreadingHTTPServer(("127.0.0.1", {PYTHON_PORT}), sink); print("receiving"); server.serve_forever()'
Once they wait, make a webhook for each (the answer shows the secret that signs what it is sent), and list them:
  curl http://{address}/api/webhooks -H 'X-API-Key: {subscriber_key}' -d '{{"url":"http://127.0.0.1:{NODE_PORT}/","events":["trade.new","trade.close"]}}'
  curl http://{address}/api/webhooks -H 'X-API-Key: {subscriber_key}' -d '{{"url":"http://127.0.0.1:{PYTHON_PORT}/","events":["trade.new","trade.close"]}}'
  curl http://{address}/api/webhooks -H 'X-API-Key: {subscriber_key}'

subscriber key  {subscriber_key}
publisher key   {publisher_key}
user token      {user_token}
"#
    )
}
