// Elements, made by calls: `h('p', { class: 'muted', onclick }, 'text', other)`. Text is always text, never markup.

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children)
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name === 'value') element.value = value
    else element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false))
  return element
}

const PATHS = {
  live: ['M3 12h4l3-8 4 16 3-8h4'],
  accounts: ['M16 20v-1a4 4 0 0 0-4-4H7a4 4 0 0 0-4 4v1', 'M9.500 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7', 'M21 20v-1a4 4 0 0 0-3-3.870', 'M15.500 4.130a3.500 3.500 0 0 1 0 6.740'],
  webhooks: ['M18 16.500h-6.500', 'M15 21a3.500 3.500 0 1 0-2.600-5.900', 'M6 13.500a3.500 3.500 0 1 0 3.400 4.400L13 12', 'M12 3a3.500 3.500 0 0 0-2.900 5.500L5.800 15', 'M12 6.500l3.500 6.200', 'M15.300 7.200A3.500 3.500 0 0 0 12 3'],
  tail: ['M4 6h16', 'M4 12h10', 'M4 18h13'],
  audit: ['M9 4h6v3H9z', 'M15 5.500h2a2 2 0 0 1 2 2V19a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V7.500a2 2 0 0 1 2-2h2', 'M9 13l2 2 4-4'],
  theme: ['M12 3a9 9 0 1 0 9 9', 'M12 3a6.500 6.500 0 0 0 9 9'],
  leave: ['M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4', 'M15 8l4 4-4 4', 'M19 12H9'],
}

export function icon(name) {
  const make = (tag) => document.createElementNS('http://www.w3.org/2000/svg', tag)
  const svg = make('svg')
  const look = { viewBox: '0 0 24 24', width: 17, height: 17, fill: 'none', stroke: 'currentColor' }
  Object.entries({ ...look, 'stroke-width': 1.8, 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': true })
    .forEach(([key, value]) => svg.setAttribute(key, value))
  for (const d of PATHS[name]) svg.append(fill(make('path'), { d }, []))
  return svg
}

/** What stands where there is nothing, or something went wrong. */
export const empty = (title, ...text) => h('div', { class: 'empty' }, h('strong', {}, title), h('p', {}, ...text))
export const failure = (error) =>
  h('div', { class: 'empty bad', role: 'alert' }, h('strong', {}, 'This could not be loaded'), h('p', {}, error.message))
export const loading = () =>
  h('div', { 'aria-busy': 'true', 'aria-label': 'Loading' }, ...Array.from({ length: 4 }, () => h('div', { class: 'skeleton' })))

export const badge = (text, mood = '') => h('span', { class: `badge ${mood}` }, text)

/** A table. `columns`: `[title, cell(row), class]`. With `open`, the first cell of a row is a link to that address. */
export function table(columns, rows, { caption, open } = {}) {
  const cell = (row, [, content, kind], first) => {
    const inner = content(row)
    return h('td', { class: kind }, open && first ? h('a', { class: 'open', href: open(row) }, inner) : inner)
  }
  const line = (row) => {
    const follow = open && ((event) => event.target.closest('a, button') || (location.hash = open(row)))
    return h('tr', { class: open && 'link', onclick: follow || undefined }, ...columns.map((column, n) => cell(row, column, n === 0)))
  }
  return h('div', { class: 'table' },
    h('table', {},
      caption && h('caption', { class: 'visually-hidden' }, caption),
      h('thead', {}, h('tr', {}, ...columns.map(([title, , kind]) => h('th', { scope: 'col', class: kind }, title)))),
      h('tbody', {}, ...rows.map(line))))
}

/** Facts: `[name, value]`. */
export const facts = (list, kind = '') =>
  h('dl', { class: `facts ${kind}` }, ...list.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))))
