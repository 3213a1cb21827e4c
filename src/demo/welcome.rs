//! What the demo prints: keys, and clients to paste.

use std::net::SocketAddr;

use super::DemoAccount;

/// The text that a newcomer sees.
pub fn welcome(address: SocketAddr, account: &DemoAccount) -> String {
    let DemoAccount { subscriber_key, publisher_key } = account;
    format!(
        r#"Stentor's demo is on {address}, with a made-up market. Paste one of these into another terminal:

JavaScript (npm install ws)
  node -e 'new (require("ws"))("ws://{address}/ws/alerts?apiKey={subscriber_key}").on("message", m => {{ const a = JSON.parse(m); if (a.type === "trade") console.log(a.seq, a.data.tradeType, a.data.owner.slice(0, 8), a.data.marketSymbol, a.data.side, "$" + a.data.sizeUsd) }})'

Python (pip install websockets)
  python3 -c 'import asyncio, json, websockets
async def main():
    async with websockets.connect("ws://{address}/ws/alerts?apiKey={subscriber_key}") as ws:
        async for m in ws: print(json.loads(m))
asyncio.run(main())'

curl: publish a trade, and watch a wallet of your own
  curl http://{address}/api/events -H 'X-API-Key: {publisher_key}' -d '{{"type":"trade.open","data":{{"owner":"MyOwnWallet","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2026-01-15T10:30:00Z"}}}}'
  curl http://{address}/api/watchlist -H 'X-API-Key: {subscriber_key}' -d '{{"owner":"MyOwnWallet"}}'

subscriber key  {subscriber_key}
publisher key   {publisher_key}
"#
    )
}
