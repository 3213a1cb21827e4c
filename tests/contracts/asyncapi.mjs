// Holds the description of the WebSocket protocols to AsyncAPI's own rules. Usage: node asyncapi.mjs [FILE]
// Its parser does not look at examples; tests in src/contract do.
//
//   src/contract/asyncapi.json  ──▶  @asyncapi/parser  ──▶  diagnostics; an error or a warning fails
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from '@asyncapi/parser'

const here = dirname(fileURLToPath(import.meta.url))
const file = process.argv[2] ?? join(here, '../../src/contract/asyncapi.json')
const SEVERITIES = ['error', 'warning', 'information', 'hint']
const WARNING = SEVERITIES.indexOf('warning')

const { document, diagnostics } = await new Parser().parse(readFileSync(file, 'utf8'))
for (const { severity, code, path, message } of diagnostics) {
  console.log(`${SEVERITIES[severity]}: ${path.join('.')}: ${message} (${code})`)
}
const faults = diagnostics.filter(({ severity }) => severity <= WARNING)
if (!document || faults.length > 0) {
  console.log(`${file}: ${faults.length} errors and warnings`)
  process.exit(1)
}
const count = (what) => document[what]().all().length
console.log(`AsyncAPI ${document.version()}: ${count('channels')} channels, ${count('operations')} operations, ${count('messages')} messages`)
