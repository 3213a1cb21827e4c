// Questions in front of the page, secrets that are shown once, and short notes of what was done.
import { h } from './element.js'

/**
 * Asks by a form; resolves once `act(fields)` has succeeded, with its result, or with nothing where it was left. What goes wrong is told in the form.
 */
export function ask({ title, text, fields = [], action, danger = false, act }) {
  return new Promise((resolve) => {
    let result
    const error = h('p', { class: 'error', role: 'alert' })
    const submit = h('button', { class: `primary ${danger ? 'danger' : ''}`, type: 'submit' }, action)
    const form = h('form', {},
      h('h2', {}, title),
      text && h('p', { class: 'muted' }, text),
      ...fields,
      error,
      h('footer', {}, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), submit))
    const dialog = open(form, () => resolve(result))
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      submit.disabled = true
      try {
        result = await act(Object.fromEntries(new FormData(form)))
        dialog.close()
      } catch (failed) {
        error.textContent = failed.message
      }
      submit.disabled = false
    })
  })
}

/** Shows what is shown once. */
export function showSecret(title, secret, text) {
  const copy = h('button', { class: 'primary', type: 'button', autofocus: true, onclick: () => copyText(secret, copy) }, 'Copy')
  const form = h('form', { method: 'dialog' },
    h('h2', {}, title),
    h('p', { class: 'muted' }, text),
    h('div', { class: 'secret' }, h('code', { 'data-secret': true }, secret), copy),
    h('footer', {}, h('button', { type: 'button', onclick: () => dialog.close() }, 'I have saved it')))
  const dialog = open(form)
}

export async function copyText(text, button) {
  // Only a page that came over TLS, or from this machine, may write the clipboard.
  try {
    await navigator.clipboard.writeText(text)
    button.textContent = 'Copied'
  } catch {
    button.textContent = 'Select and copy'
  }
}

function open(content, closed = () => {}) {
  const dialog = h('dialog', { 'aria-label': content.querySelector('h2').textContent }, content)
  dialog.addEventListener('close', () => {
    dialog.remove()
    closed()
  })
  document.body.append(dialog)
  dialog.showModal()
  return dialog
}

/** A field of a form. */
export const field = (name, label, { hint, options, rows, ...attributes } = {}) => {
  const control = options
    ? h('select', { name, ...attributes }, ...options.map((option) => h('option', { value: option, selected: option === attributes.value }, option)))
    : h(rows ? 'textarea' : 'input', { name, rows, autocomplete: 'off', spellcheck: 'false', ...attributes })
  return h('label', { class: 'field' }, label, control, hint && h('small', {}, hint))
}

let note
export function tell(text, mood = '') {
  note?.remove()
  note = h('div', { class: `toast ${mood}`, role: 'status' }, text)
  document.body.append(note)
  const shown = note
  setTimeout(() => shown.remove(), 5_000)
}
