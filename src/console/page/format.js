// Numbers as people read them, always with their units.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** 1,234,567 */
export const count = (number) => whole.format(number)

/** Three digits and a letter: 0.42, 8.5, 973, 12.3k, 4.56M */
export function short(number) {
  if (!Number.isFinite(number)) return '–'
  const steps = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]
  for (const [step, letter] of steps) {
    if (Math.abs(number) >= step * 0.9995) return digits(number / (letter === 'k' ? 1e3 : step)) + letter
  }
  return Math.abs(number) >= 100 ? count(number) : digits(number)
}

function digits(number) {
  const size = Math.abs(number)
  if (size >= 100 || number === 0) return number.toFixed(0)
  return trimmed(number.toFixed(size >= 10 ? 1 : 2))
}

const trimmed = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text)

export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (number >= 999.5 && unit < units.length - 1) {
    number /= 1000
    unit += 1
  }
  return `${unit === 0 ? count(number) : digits(number)} ${units[unit]}`
}

/** Of microseconds. */
export function micros(us) {
  if (!Number.isFinite(us)) return '–'
  if (us < 1000) return `${us.toFixed(0)} µs`
  if (us < 1e6) return `${digits(us / 1e3)} ms`
  return `${digits(us / 1e6)} s`
}

/** How long, in one unit: 42 s, 17 min, 5 h, 12 d */
export function duration(ms) {
  const seconds = Math.max(0, ms / 1000)
  if (seconds < 90) return `${Math.floor(seconds)} s`
  if (seconds < 90 * 60) return `${Math.floor(seconds / 60)} min`
  if (seconds < 36 * 3600) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86400)} d`
}

export const ago = (moment) => `${duration(Date.now() - new Date(moment))} ago`

/** With one digit behind the point, so that it keeps its width. */
export const percent = (part) => `${(part * 100).toFixed(part >= 0.9995 ? 0 : 1)} %`

const pad = (number, length = 2) => String(number).padStart(length, '0')

/** 14:03:59.123 */
export function clock(date, millis = false) {
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
  return millis ? `${time}.${pad(date.getMilliseconds(), 3)}` : time
}

/** 2026-11-21 14:03 */
export const minute = (text) => moment(text).slice(0, -3)

/** 2026-11-21 14:03:59 */
export function moment(text) {
  const date = new Date(text)
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(date)}`
}
