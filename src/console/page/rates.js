// What happened between two samples of the server's counters, per second. Pure.

export const PROTOCOLS = ['watchlist', 'tiered', 'channels', 'rooms', 'stream']

const sum = (list, value) => list.reduce((total, item) => total + value(item), 0)

/** None where the two can't be compared: they are of two runs of the server, or of one moment. */
export function reading(before, after) {
  const seconds = (after.at_ms - before.at_ms) / 1000
  if (before.started_ms !== after.started_ms || seconds <= 0) return undefined
  const rate = (value) => Math.max(0, sum(after.shards, value) - sum(before.shards, value)) / seconds
  const deliveries = rate((shard) => shard.deliveries + shard.replayed)
  const sends = rate((shard) => shard.sends)
  const { fanout_us: fanout, journal } = after
  return {
    at: after.at_ms,
    events: Math.max(0, after.last_seq - before.last_seq) / seconds,
    deliveries,
    bytes: rate((shard) => shard.sent_bytes),
    // Of a second without sends there is none.
    coalescing: sends > 0 ? deliveries / sends : undefined,
    p50: fanout.count > 0 ? fanout.p50 : undefined,
    p99: fanout.count > 0 ? fanout.p99 : undefined,
    sockets: Object.fromEntries(PROTOCOLS.map((name) => [name, sum(after.shards, (shard) => shard.sockets[name])])),
    behind: sum(after.shards, (shard) => shard.behind),
    lagEvents: journal.lag_events,
    lagBytes: journal.lag_bytes,
    sync: journal.sync_us.count > 0 ? journal.sync_us.p99 : undefined,
    threads: threads(before.process.threads, after.process.threads, seconds),
  }
}

/** The part of a CPU that each thread took. */
function threads(before, after, seconds) {
  const known = new Map(before.map((thread) => [thread.name, thread.cpu_seconds]))
  return after.map(({ name, cpu_seconds: cpu }) => ({ name, share: Math.max(0, cpu - (known.get(name) ?? cpu)) / seconds }))
}
