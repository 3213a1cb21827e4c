// A small plot of the last five minutes on a canvas, with what it says now above it.
import { h } from './element.js'
import { clock } from './format.js'

const BOTTOM = 16
/** How long a time is shown, in minutes: as long as there is something to see, up to the last. */
const SPANS = [1, 2, 5]
/** A line is not drawn over a time in which nothing was heard. */
const GAP_MS = 4_000

export class Plot {
  #canvas = h('canvas', { role: 'img' })
  #tip = h('div', { class: 'tip', hidden: true })
  #numbers
  #big
  #readings = []
  #end = 0
  #pointer

  /**
   * `series`: `{ name, of(reading) }`, drawn in the colours of the theme; `stacked`: on top of each other. `format(number)` is of the axis and of all
   * numbers; `total(reading)` is the big one, the first series' where there is none; `unit` stands behind it.
   */
  constructor({ title, series, format, unit, total, stacked = false, floor = 0 }) {
    Object.assign(this, { title, series, format, stacked, floor, total: total ?? series[0].of })
    this.#big = h('span', { class: 'value' }, '–')
    this.unit = unit
    // The big number is not told twice.
    this.#numbers = series.map(({ of }) => h('b', { hidden: of === this.total }, '–'))
    const legend = series.map(({ name }, n) => h('li', {}, h('i', { class: `swatch swatch-${n + 1}` }), name, ' ', this.#numbers[n]))
    const place = h('div', { class: 'canvas' }, this.#canvas, this.#tip)
    this.element = h('section', { class: 'card plot', 'aria-label': title },
      h('h2', {}, title),
      h('div', { class: 'now' }, this.#big, series.length > 1 && h('ul', { class: series.length > 2 ? 'legend counts' : 'legend' }, ...legend)),
      place)
    place.addEventListener('pointermove', (event) => this.#point(event.offsetX))
    place.addEventListener('pointerleave', () => this.#point(undefined))
    new ResizeObserver(() => this.#draw()).observe(place)
  }

  show(readings, end) {
    this.#readings = readings
    this.#end = end
    const last = readings.at(-1)
    const told = (of) => (last === undefined || of(last) === undefined ? '–' : this.format(of(last)))
    this.#big.replaceChildren(told(this.total), ...(this.unit ? [h('small', {}, this.unit)] : []))
    this.series.forEach(({ of }, n) => (this.#numbers[n].textContent = told(of)))
    const words = this.series.map(({ name, of }) => `${name} ${told(of)}`).join(', ')
    this.#canvas.setAttribute('aria-label', `${this.title}, last five minutes; now ${words}`)
    this.#draw()
  }

  #point(x) {
    this.#pointer = x
    this.#draw()
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    if (width === 0) return
    const scale = window.devicePixelRatio || 1
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale)
      this.#canvas.height = Math.round(height * scale)
    }
    const pen = this.#canvas.getContext('2d')
    pen.setTransform(scale, 0, 0, scale, 0, 0)
    pen.clearRect(0, 0, width, height)
    const style = getComputedStyle(document.documentElement)
    const colour = (name) => style.getPropertyValue(name).trim()
    const lines = this.#lines()
    const top = ceiling(Math.max(this.floor, ...lines.flat().map((value) => value ?? 0)))
    const seen = (this.#end - (this.#readings[0]?.at ?? this.#end)) / 60_000
    const minutes = SPANS.find((span) => seen <= span) ?? SPANS.at(-1)
    const x = (at) => (1 - (this.#end - at) / (minutes * 60_000)) * width
    const y = (value) => 4 + (1 - value / top) * (height - BOTTOM - 4)
    this.#grid(pen, { width, height, y, top, minutes, line: colour('--line'), text: colour('--faint'), sans: style.getPropertyValue('--sans') })
    for (let n = lines.length - 1; n >= 0; n -= 1) {
      if (this.stacked && n > 0 && lines[n].every((value, at) => value === lines[n - 1][at])) continue
      const below = this.stacked && n > 0 ? lines[n - 1] : undefined
      this.#line(pen, lines[n], { x, y, colour: colour(`--series-${n + 1}`), filled: this.stacked || n === 0, below })
    }
    this.#mark(pen, { x, y, width, height, lines, colour })
  }

  /** The values of each series at each reading; stacked, with those below. */
  #lines() {
    const lines = this.series.map(({ of }) => this.#readings.map(of))
    if (this.stacked) {
      for (let n = 1; n < lines.length; n += 1) lines[n] = lines[n].map((value, at) => (value ?? 0) + (lines[n - 1][at] ?? 0))
    }
    return lines
  }

  #grid(pen, { width, height, y, top, minutes, line, text, sans }) {
    pen.lineWidth = 1
    pen.font = `10.5px ${sans}`
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(y(top * part)) + 0.5
      pen.strokeStyle = line
      pen.beginPath()
      pen.moveTo(0, at)
      pen.lineTo(width, at)
      pen.stroke()
      if (part > 0) {
        pen.fillStyle = text
        pen.textBaseline = 'top'
        pen.textAlign = 'left'
        pen.fillText(this.format(top * part), 0, at + 2)
      }
    }
    pen.fillStyle = text
    pen.textBaseline = 'bottom'
    for (const [part, align] of [[1, 'left'], [0.5, 'center'], [0, 'right']]) {
      pen.textAlign = align
      const seconds = minutes * 60 * part
      const label = seconds === 0 ? 'now' : seconds < 60 ? `−${seconds} s` : `−${seconds / 60} min`
      pen.fillText(label, (1 - part) * width, height)
    }
  }

  /** `below`: the line down to which it is filled; none for the ground. */
  #line(pen, values, { x, y, colour, filled, below }) {
    const stretches = [[]]
    this.#readings.forEach(({ at }, n) => {
      const before = this.#readings[n - 1]
      if (values[n] === undefined || (before && at - before.at > GAP_MS)) stretches.push([])
      if (values[n] !== undefined) stretches.at(-1).push([x(at), y(values[n]), y(below?.[n] ?? 0)])
    })
    pen.strokeStyle = colour
    pen.fillStyle = colour
    pen.lineWidth = 1.5
    pen.lineJoin = 'round'
    for (const points of stretches.filter((points) => points.length > 0)) {
      if (points.length === 1) points.unshift([points[0][0] - 1, points[0][1], points[0][2]])
      pen.beginPath()
      points.forEach(([px, py], n) => (n === 0 ? pen.moveTo(px, py) : pen.lineTo(px, py)))
      pen.stroke()
      if (filled) {
        points.toReversed().forEach(([px, , base]) => pen.lineTo(px, base))
        pen.globalAlpha = this.stacked ? 0.25 : 0.11
        pen.fill()
        pen.globalAlpha = 1
      }
    }
  }

  /** The reading under the pointer. */
  #mark(pen, { x, y, width, height, lines, colour }) {
    const near = this.#pointer !== undefined && nearest(this.#readings, this.#pointer, x)
    this.#tip.hidden = near === false || near === undefined
    if (this.#tip.hidden) return
    const found = this.#readings[near]
    const at = x(found.at)
    pen.strokeStyle = colour('--line-strong')
    pen.beginPath()
    pen.moveTo(at, 4)
    pen.lineTo(at, height - BOTTOM)
    pen.stroke()
    lines.forEach((line, n) => {
      if (line[near] === undefined) return
      pen.fillStyle = colour(`--series-${n + 1}`)
      pen.beginPath()
      pen.arc(at, y(line[near]), 2.6, 0, 7)
      pen.fill()
    })
    const rows = this.series.map(({ name, of }, n) => {
      const value = of(found)
      return h('div', { class: 'row' }, h('i', { class: `swatch swatch-${n + 1}` }), `${name} ${value === undefined ? '–' : this.format(value)}`)
    })
    this.#tip.replaceChildren(h('div', { class: 'muted' }, clock(new Date(found.at))), ...rows)
    const room = this.#tip.offsetWidth + 10
    this.#tip.style.left = `${at + room > width ? at - room : at + 10}px`
  }
}

function nearest(readings, px, x) {
  let best
  readings.forEach(({ at }, n) => {
    if (best === undefined || Math.abs(x(at) - px) < Math.abs(x(readings[best].at) - px)) best = n
  })
  return best
}

/** A round number that is not below: 1, 2, 2.5, 5 or 10 times a power of ten. */
function ceiling(value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 0.999) * power
}
