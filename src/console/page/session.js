// The operator's key, and every request with it. The key stays in this tab, and leaves it in a header only.

const STORED = 'stentor-admin-key'

export class RequestError extends Error {
  constructor(status, code, message) {
    super(message)
    Object.assign(this, { status, code })
  }
}

export class Session extends EventTarget {
  #key = sessionStorage.getItem(STORED)

  get isOpen() {
    return this.#key !== null
  }

  /** Tries a key, and keeps it if it is an operator's. */
  async open(key) {
    await this.#ask('GET', '/api/admin/status', undefined, key)
    sessionStorage.setItem(STORED, key)
    this.#key = key
  }

  /** `reason`: what the next who looks at the page should know. */
  close(reason) {
    sessionStorage.removeItem(STORED)
    this.#key = null
    this.dispatchEvent(new CustomEvent('closed', { detail: reason }))
  }

  get(path) {
    return this.send('GET', path)
  }

  async send(method, path, body) {
    return (await this.#ask(method, path, body)).json()
  }

  /** An answer whose body is to be read as it comes. */
  stream(path, signal) {
    return this.#ask('GET', path, undefined, this.#key, signal)
  }

  async #ask(method, path, body, key = this.#key, signal = undefined) {
    const headers = { 'X-API-Key': key ?? '', ...(body && { 'Content-Type': 'application/json' }) }
    let answer
    try {
      answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: 'no-store' })
    } catch (error) {
      if (error.name === 'AbortError') throw error
      throw new RequestError(0, 'OFFLINE', 'The server does not answer.')
    }
    if (answer.ok) return answer
    const told = await answer.json().catch(() => undefined)
    const error = new RequestError(answer.status, told?.error?.code ?? '', told?.error?.message ?? `The server answered ${answer.status}.`)
    if (answer.status === 401 && key === this.#key && this.#key !== null) this.close('The key is no longer in force.')
    throw error
  }
}
