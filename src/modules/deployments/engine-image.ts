import type { Runtime } from '../../runtime/runtime.ts'

/** Begins the names that Berth gives to images in the engine. */
const ENGINE_PREFIX = 'berth/'
const FORM = new RegExp(`^${ENGINE_PREFIX}[^/:]+/[^/:]+:([\\w-]+)$`)

/** What the engine knows a deployment's image by. Derived from its id, so that no two ever share a name. */
export function engineImage(names: {
  project_name: string
  service_name: string
  deployment: { id: string }
}): string {
  return `${ENGINE_PREFIX}${names.project_name}/${names.service_name}:${names.deployment.id}`
}

/** The deployment that a name of the engine stands for; undefined for a name that is not of Berth's form. */
export function deploymentOfName(name: string): string | undefined {
  return FORM.exec(name)?.[1]
}

/** The names of Berth's form in the engine, with the deployments that they stand for: ours, and those of other nodes on the same engine. */
export async function listEngineImages(
  runtime: Pick<Runtime, 'listTags'>,
): Promise<{ name: string; deployment_id: string }[]> {
  return (await runtime.listTags(ENGINE_PREFIX)).flatMap((name) => {
    const deployment_id = deploymentOfName(name)
    return deployment_id === undefined ? [] : [{ name, deployment_id }]
  })
}

/** The names in the engine that stand for one of these deployments. */
export async function listImagesOf(
  runtime: Pick<Runtime, 'listTags'>,
  deploymentIds: readonly string[],
): Promise<string[]> {
  const own = new Set(deploymentIds)
  const found = await listEngineImages(runtime)
  return found.flatMap(({ name, deployment_id }) => (own.has(deployment_id) ? [name] : []))
}
