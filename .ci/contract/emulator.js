// The README's way with GitHub, tried against an emulator of it: `node emulator.js BINARY`. huskies
// makes its labels and webhook there, somebody opens an issue and labels it, the emulator sends the
// signed delivery, and the sticky comment comes. What the emulator lacks (commit statuses, git) is
// the model's part in `cargo test`; git goes to a bare repository on the disk.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { createEmulator } from 'emulate'

import { freePort } from './port.js'

const [binary] = process.argv.slice(2)
if (!binary) {
  console.error('usage: node emulator.js PATH-OF-HUSKIES')
  process.exit(2)
}

const PATIENCE = 60_000
const repository = '/repos/ada/greeter'
const PROJECT = `land = "push"

[[gate]]
name = "greets"
command = "grep -q Hello greeting.txt"

[[agent]]
name = "coder"
stage = "coder"
runtime = "command"
command = "echo Hello > greeting.txt && git add greeting.txt && git -c user.name=coder -c user.email=coder@example.com commit -m 'Say hello'"
`
const folder = mkdtempSync(join(tmpdir(), 'huskies-emulator-'))
const github = await createEmulator({
  service: 'github',
  port: await freePort(),
  seed: {
    tokens: {
      ghp_huskies: { login: 'huskies-bot', scopes: ['repo', 'admin:repo_hook'] },
      ghp_ada: { login: 'ada', scopes: ['repo'] }
    },
    github: {
      users: [{ login: 'ada' }, { login: 'huskies-bot' }],
      repos: [{ owner: 'ada', name: 'greeter', auto_init: true }]
    }
  }
})
const api = github.url
const server = { address: `127.0.0.1:${await freePort()}`, process: undefined, output: '' }
try {
  await tell()
} catch (error) {
  console.error(server.output)
  throw error
} finally {
  server.process?.kill()
  await github.close()
  rmSync(folder, { recursive: true, force: true })
}

async function tell() {
  const config = prepare()
  await asAda('PUT', `${repository}/collaborators/huskies-bot`, { permission: 'admin' })
  const url = `http://${server.address}`
  await huskies('init', '--github', '--url', url, '--config', config)
  const labels = (await asAda('GET', `${repository}/labels?per_page=100`)).map(({ name }) => name)
  if (!labels.includes('huskies')) throw new Error(`no label huskies in ${labels}`)
  const hooks = await asAda('GET', `${repository}/hooks`)
  if (hooks.length !== 1) throw new Error(`there are ${hooks.length} webhooks`)

  serve(config)
  await eventually('the server listens', async () => (await fetch(`${url}/healthz`).catch(() => undefined))?.ok)
  const issue = await asAda('POST', `${repository}/issues`, { title: 'Greet', body: 'Say hello.' })
  await asAda('POST', `${repository}/issues/${issue.number}/labels`, { labels: ['huskies'] })
  const comments = await eventually('the sticky comment tells of a landing', async () => {
    const comments = await asAda('GET', `${repository}/issues/${issue.number}/comments`)
    return comments.some(({ body }) => body.includes('huskies: done')) && comments
  })
  const sticky = comments.filter(({ body }) => body.startsWith('<!-- huskies:story '))
  if (sticky.length !== 1) throw new Error(`${sticky.length} sticky comments`)
  const landed = git('--git-dir', join(folder, 'greeter.git'), 'show', 'main:greeting.txt')
  if (landed.trim() !== 'Hello') throw new Error(`what landed says ${landed}`)
  console.log(`contract: label to comment to landed change against an emulator, ${comments.length} comments`)
}

/** A repository with a scripted agent, and a configuration. */
function prepare() {
  const bare = join(folder, 'greeter.git')
  const clone = join(folder, 'greeter')
  git('init', '--quiet', '--bare', '--initial-branch', 'main', bare)
  git('clone', '--quiet', bare, clone)
  mkdirSync(join(clone, '.huskies'))
  writeFileSync(join(clone, '.huskies/project.toml'), PROJECT)
  git('-C', clone, 'checkout', '--quiet', '-b', 'main')
  git('-C', clone, 'add', '.')
  git('-C', clone, 'commit', '--quiet', '-m', 'Begin')
  git('-C', clone, 'push', '--quiet', 'origin', 'main')
  const secrets = { token: join(folder, 'token'), webhook: join(folder, 'webhook-secret') }
  writeFileSync(secrets.token, 'ghp_huskies', { mode: 0o600 })
  const config = join(folder, 'huskies.toml')
  writeFileSync(config, `listen = "${server.address}"
data_dir = "${join(folder, 'data')}"

[forge.github]
api_url = "${api}"
token_file = "${secrets.token}"
webhook_secret_files = ["${secrets.webhook}"]

[[repo]]
name = "ada/greeter"
path = "${clone}"
forge = "github"
`)
  return config
}

async function asAda(method, path, body) {
  const headers = { authorization: 'Bearer ghp_ada', 'content-type': 'application/json' }
  const answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text ? JSON.parse(text) : undefined
}

async function huskies(...args) {
  const running = spawn(resolve(binary), args, { stdio: 'inherit' })
  const code = await new Promise((ended) => running.on('close', ended))
  if (code !== 0) throw new Error(`huskies ${args.join(' ')} exited with ${code}`)
}

function serve(config) {
  server.process = spawn(resolve(binary), ['serve', '--config', config], { stdio: 'pipe' })
  for (const stream of [server.process.stdout, server.process.stderr]) {
    stream.on('data', (piece) => (server.output += piece))
  }
}

function git(...args) {
  const identity = ['-c', 'user.name=ada', '-c', 'user.email=ada@example.com']
  return execFileSync('git', [...identity, ...args], { encoding: 'utf8' })
}

/** What `look` finds, as soon as it finds something. */
async function eventually(what, look) {
  const end = Date.now() + PATIENCE
  while (Date.now() < end) {
    const found = await look()
    if (found) return found
    await new Promise((later) => setTimeout(later, 100))
  }
  throw new Error(`it did not come about that ${what}`)
}
