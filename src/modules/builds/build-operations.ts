import { readFile } from 'node:fs/promises'
import type { System } from '../../lib/system.ts'
import { BuildFailed } from '../../runtime/runtime.ts'
import type { BuildLine, BuildSpec, Runtime } from '../../runtime/runtime.ts'
import { createBaseImages, type BaseImages } from './base-image/base-image.ts'
import { type IgnoreOptions, packContext, readIgnore } from './build-context.ts'
import { type BuildChoice, type BuildPlan, detectBuild } from './build-detection.ts'
import { createBuildQueue } from './build-queue.ts'
import {
  BERTH_PREFIX,
  type GeneratedBuild,
  nodeDockerfile,
  siteDockerfile,
  SOURCE_PREFIX,
} from './node/node-dockerfile.ts'
import { openSourceFolder, type SourceFolder } from './source-folder.ts'

export interface BuildSourceRequest {
  /** The unpacked source; nothing in it is trusted. */
  source_dir: string
  build: BuildChoice & {
    /** Inside the source; null: its root. */
    context_path: string | null
    target: string | null
    build_args: Record<string, string>
  }
  /** What the build may read, by name. */
  secrets: Readonly<Record<string, string>>
  tag: string
  labels: Record<string, string>
  onLine: (line: BuildLine) => void
  signal: AbortSignal
}

export interface BuiltSource {
  image_id: string
  /** Ports that the image exposes over TCP, ascending. */
  exposed_ports: number[]
  /** What `auto` became. */
  builder: BuildPlan['builder']
}

export interface Builds {
  /**
   * Turns a folder of source into an image. Waits for its turn, then for the build. Throws BuildFailed with a sentence for the log when the
   * source or its build is to blame or it takes too long, the signal's reason when it is cancelled. Repeating it builds from the engine's cache.
   */
  buildSource(request: BuildSourceRequest): Promise<BuiltSource>
}

export interface BuildSettings {
  readonly build_concurrency: number
  readonly build_timeout_seconds: number
  readonly build_memory_bytes: number
  readonly build_cpu_millis: number
  readonly node_base_image: string | undefined
}

export interface BuildsDeps {
  runtime: Runtime
  system: System
  settings: BuildSettings
  baseImages?: BaseImages
}

export function createBuilds(deps: BuildsDeps): Builds {
  const { runtime, system, settings } = deps
  const baseImages = deps.baseImages ?? createBaseImages({ runtime, configured: settings.node_base_image })
  const queue = createBuildQueue(settings.build_concurrency)

  async function buildNow(request: BuildSourceRequest, signal: AbortSignal): Promise<BuiltSource> {
    const say = (line: string): void => request.onLine({ stream: 'status', line })
    const source = openSourceFolder(request.source_dir)
    const context =
      request.build.context_path === null ? source : await source.folder(request.build.context_path)
    const plan = await detectBuild(context, request.build)
    say(describePlan(plan, request.build.builder))
    const prepared =
      plan.builder === 'dockerfile'
        ? await prepareDockerfile(context, plan.dockerfile)
        : await prepareGenerated(context, plan, request, await baseImages.ensureBaseImage(say, signal), say)
    const { image_id } = await runtime.buildImage(
      {
        ...prepared,
        ...(request.build.target === null ? {} : { target: request.build.target }),
        build_args: request.build.build_args,
        secrets: request.secrets,
        labels: request.labels,
        tag: request.tag,
        memory_bytes: settings.build_memory_bytes,
        cpu_millis: settings.build_cpu_millis,
      },
      request.onLine,
      signal,
    )
    const image = await runtime.findImage(image_id)
    return { image_id, exposed_ports: image?.exposed_ports ?? [], builder: plan.builder }
  }

  async function buildSource(request: BuildSourceRequest): Promise<BuiltSource> {
    const leave = await queue.enter((ahead) => {
      request.onLine({
        stream: 'status',
        line: `Waiting for ${ahead === 1 ? 'another build' : `${ahead} other builds`}`,
      })
    }, request.signal)
    const overdue = new AbortController()
    const cancelTimer = system.later(settings.build_timeout_seconds * 1000, () => {
      overdue.abort(
        new BuildFailed(`The build took longer than ${settings.build_timeout_seconds} s and was stopped.`),
      )
    })
    try {
      return await buildNow(request, AbortSignal.any([request.signal, overdue.signal]))
    } finally {
      cancelTimer()
      leave()
    }
  }

  return { buildSource }
}

type PreparedContext = Pick<BuildSpec, 'context' | 'dockerfile'>
type GeneratedPlan = Exclude<BuildPlan, { builder: 'dockerfile' }>

async function prepareDockerfile(context: SourceFolder, dockerfile: string): Promise<PreparedContext> {
  const ignore = await readIgnore(context, dockerfile)
  return { dockerfile, context: packContext({ root: context.path, ignore, prefix: '' }) }
}

async function prepareGenerated(
  context: SourceFolder,
  plan: GeneratedPlan,
  { build, secrets }: BuildSourceRequest,
  base: { reference: string; has_shell: boolean },
  say: (line: string) => void,
): Promise<PreparedContext> {
  if (build.target !== null)
    throw new BuildFailed(`The builder "${plan.builder}" has no stages: target is for a Dockerfile.`)
  if (Object.keys(secrets).length > 0)
    throw new BuildFailed(
      `The builder "${plan.builder}" reads no secrets: build_secrets is for a Dockerfile.`,
    )
  const generated = generate(plan, base, build.build_args)
  for (const note of generated.notes) say(`Note: ${note}`)
  const extra: Record<string, string> = { Dockerfile: generated.dockerfile }
  for (const file of generated.files)
    extra[`${BERTH_PREFIX}/${file}`] = await readFile(OWN_FILES[file], 'utf8')
  const root = plan.builder === 'static' && plan.folder !== '' ? await context.folder(plan.folder) : context
  const ignore = await readIgnore(root, undefined, ignoreOptions(plan))
  return {
    dockerfile: 'Dockerfile',
    context: packContext({ root: root.path, ignore, prefix: SOURCE_PREFIX, extra, readable: true }),
  }
}

function ignoreOptions(plan: GeneratedPlan): IgnoreOptions {
  if (plan.builder === 'static') return { leave_out: ['.git', '.dockerignore'] }
  const { has_dependencies, has_dev_dependencies, manifests } = plan.facts
  // What was installed on another machine has programs for that machine.
  const installed = has_dependencies || has_dev_dependencies ? ['**/node_modules'] : []
  return { leave_out: ['.git', ...installed], keep: manifests }
}

function generate(
  plan: GeneratedPlan,
  base: { reference: string; has_shell: boolean },
  build_args: Record<string, string>,
): GeneratedBuild {
  if (plan.builder === 'static') return siteDockerfile(base.reference)
  return nodeDockerfile(plan.facts, { base: base.reference, has_shell: base.has_shell, build_args })
}

/** Scripts of ours that run inside images. */
const OWN_FILES: Record<GeneratedBuild['files'][number], URL> = {
  'static-server.mjs': new URL('static-server/static-server.mjs', import.meta.url),
  'collect-site.mjs': new URL('node/collect-site.mjs', import.meta.url),
}

function describePlan(plan: BuildPlan, chosen: string): string {
  const how = chosen === 'auto' ? 'Detected' : 'Building'
  if (plan.builder === 'dockerfile') return `${how} ${plan.dockerfile}`
  if (plan.builder === 'node') return `${how} a Node.js application (package.json)`
  return `${how} static files${plan.folder === '' ? '' : ` in ${plan.folder}`}`
}
