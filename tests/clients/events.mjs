// One event for each place where there are any, and the message that each becomes.

export const OWNER = 'DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump'
const TIME = '2025-01-15T10:30:00Z'

export const trade = (tradeType, more = {}) => ({
  type: `trade.${tradeType}`,
  data: {
    owner: OWNER,
    marketSymbol: 'SOL-PERP',
    side: 'long',
    sizeUsd: 15000.5,
    leverage: 5.2,
    entryPrice: 185.42,
    timestamp: TIME,
    ...more,
  },
})

export const alert = (id, more = {}) => ({
  type: 'alert',
  data: {
    id,
    alert_type: 'fresh',
    side: 'BUY',
    outcome: 'Yes',
    entry_price: 0.42,
    usdc_value: 2100,
    signal_score: 72,
    event_title: 'Will it rain in “São Paulo”? ☂',
    category: 'weather',
    ...more,
  },
})

export const bot = (botId, profit) => ({
  type: 'bot_update',
  topic: `bot:${botId}`,
  data: { botId, event: 'trade_executed', data: { signature: '5VERv8', profit, timestamp: TIME } },
})

export const price = (mint, value) => ({
  type: 'price_update',
  topic: `price:${mint}`,
  data: { mint, price: value, volume: 1000000, timestamp: TIME },
})

export const transaction = (wallet, slot) => ({
  type: 'transaction_confirmed',
  topic: `transactions:${wallet}`,
  data: { signature: '5VERv8', status: 'confirmed', slot },
})

/** All ten types of the rooms protocol, each with the channel that belongs to it. `user` and `market` receive them. */
export const roomEvents = (user, market) =>
  [
    [`market:${market}`, 'market_data_update', 'market_data', { symbol: market, price: 43250.5, change: -1249.5 }],
    [`market:${market}`, 'historical_data_update', 'historical_data', { symbol: market, candles: [{ open: 43000 }] }],
    [`user:${user}`, 'price_alert', 'alerts', { id: 'alert_123', condition: 'above', price: 45000 }],
    [`user:${user}`, 'margin_guard_execution', 'margin_guard', { userId: user, positions: [{ isAtRisk: true }] }],
    [`user:${user}`, 'position_status_update', 'positions', { userId: user, position: { id: 'pos_123', pnl: 500 } }],
    [`user:${user}`, 'auto_close_execution', 'margin_guard', { userId: user, position: { pnl: -150 } }],
    [`user:${user}`, 'in_app_notification', 'notifications', { id: 'notif_123', type: 'warning', data: { a: 0.82 } }],
    [`user:${user}`, 'notification_status_update', 'notifications', { id: 'notif_123', status: 'delivered' }],
    ['system', 'server_maintenance', 'system', { scheduled: true, message: 'in 2 hours' }],
    ['system', 'service_status_update', 'system', { service: 'margin_guard', status: 'degraded' }],
  ].map(([topic, type, channel, data]) => ({ event: { type, topic, data }, channel }))

/** An event's message under a number, in the envelope of its topic. `channel` is that of a rooms event. */
export function message(seq, { type, topic, data }, channel) {
  if (type === 'alert') return { type, seq, data }
  if (/^(bot|price|transactions):/.test(topic)) return { type, seq, ...data }
  if (topic) return { type, channel, seq, data }
  return { type: 'trade', seq, data: { ...data, tradeType: type.slice('trade.'.length) } }
}
