// Holds every request that the tests sent to the model of GitHub against GitHub's own description of
// its API: `node replay.js FOLDER`, where FOLDER has what `HUSKIES_RECORD_REQUESTS=FOLDER cargo test`
// left there. Prism, made from the description, answers 404 to a path that is none and 422 to a body
// or parameter that does not fit; GraphQL goes by its schema. What neither says (a status's
// description of 140 characters, say) the model checks itself.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { request as send } from 'node:http'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

import { schema } from '@octokit/graphql-schema'
import { buildSchema, parse, validate } from 'graphql'

import { freePort } from './port.js'

const require = createRequire(import.meta.url)
const folder = process.argv[2]
if (!folder) {
  console.error('usage: node replay.js FOLDER-OF-RECORDED-REQUESTS')
  process.exit(2)
}

// `huskies doctor` finds out what a token may do by writes that lack what they need: GitHub answers
// 422 to a token that may, 403 or 404 to one that may not.
const isProbe = ({ method, path, body }) =>
  method === 'POST' && JSON.stringify(body) === '{}' && /\/(git\/refs|labels|pulls|hooks|statuses\/0+)$/.test(path)
// Prism takes a label called `..` for a step up; the model holds that one.
const isDots = ({ path }) => path.endsWith('/%2E%2E')
const requests = distinct(recorded(folder).filter((request) => !isProbe(request) && !isDots(request)))
if (requests.length === 0) {
  console.error(`${folder} has no recorded requests: run the tests with HUSKIES_RECORD_REQUESTS set to it`)
  process.exit(2)
}
// One type of it has a field twice, which is nothing to us.
const graphql = buildSchema(schema.idl, { assumeValidSDL: true })
const { url, stop } = await startPrism()
const misfits = []
for (const request of requests) {
  const complaint = await hold(request)
  if (complaint) misfits.push(`${request.method} ${request.target}\n  sent: ${request.body}\n  ${complaint}`)
}
stop()
const kinds = new Set(requests.map(({ shape }) => shape.split(' ').slice(0, 2).join(' ')))
console.log(`contract: ${requests.length} different requests of ${kinds.size} kinds, ${misfits.length} that do not fit`)
if (misfits.length > 0) {
  console.error(misfits.join('\n'))
  process.exit(1)
}

/** Every request of every line of every file. */
function recorded(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

/** One of each shape: the same route with the same fields. Texts and numbers differ from run to run. */
function distinct(all) {
  const found = new Map()
  for (const { method, path, query, body } of all) {
    const bare = path.replace(/^\/api\/v3/, '')
    const route = bare.replace(/\d+/g, '0').replace(/\b[0-9a-f]{40}\b/g, 'sha')
    const shape = `${method} ${route} ${query ?? ''} ${JSON.stringify(skeleton(body))}`
    const target = query ? `${bare}?${query}` : bare
    if (!found.has(shape)) found.set(shape, { method, target, body: body ? JSON.stringify(body) : '', shape })
  }
  return [...found.values()]
}

/** The fields of a body, with words that are one of a few kept as they are. */
function skeleton(value) {
  if (Array.isArray(value)) return value.slice(0, 1).map(skeleton)
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, skeleton(inner)]))
  }
  return typeof value === 'string' && /^[a-z_]{1,16}$/.test(value) ? value : typeof value
}

/** What Prism has against a request; nothing when it fits. */
async function hold({ method, target, body }) {
  if (target.endsWith('/graphql')) return validate(graphql, parse(JSON.parse(body).query)).join('; ') || undefined
  const { status, violations, text } = await exchange(method, target, body)
  if (violations) {
    // Examples in the description do not all fit their own schemas; only what was sent counts here.
    const ours = JSON.parse(violations).filter(({ location }) => location[0] === 'request')
    return ours.length > 0 ? `${status} ${JSON.stringify(ours)}` : undefined
  }
  return status < 400 ? undefined : `${status} ${text.slice(0, 600)}`
}

/** With the path as it was sent: `fetch` would tidy up what is percent-encoded. */
async function exchange(method, target, body) {
  const headers = { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) }
  const sent = send(url + target, { method, path: target, headers })
  sent.end(body)
  const [answer] = await once(sent, 'response')
  let text = ''
  for await (const piece of answer.setEncoding('utf8')) text += piece
  return { status: answer.statusCode, violations: answer.headers['sl-violations'], text }
}

async function startPrism() {
  const cli = join(dirname(require.resolve('@stoplight/prism-cli/package.json')), 'dist/index.js')
  const description = require.resolve('@octokit/openapi/generated/api.github.com.json')
  const port = await freePort()
  const prism = spawn(process.execPath, [cli, 'mock', '-p', String(port), '--errors', description], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: prism.stdout })) {
    if (line.includes('listening')) break
  }
  if (prism.exitCode !== null) throw new Error(`Prism ended with ${prism.exitCode} before it listened`)
  prism.stdout.resume()
  return { url: `http://127.0.0.1:${port}`, stop: () => prism.kill() }
}
