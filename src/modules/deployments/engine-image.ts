/** Begins the names that Berth gives to images in the engine. */
export const ENGINE_PREFIX = 'berth/'

/** What the engine knows a deployment's image by. Derived from its id, so that no two ever share a name. */
export function engineImage(names: {
  project_name: string
  service_name: string
  deployment: { id: string }
}): string {
  return `${ENGINE_PREFIX}${names.project_name}/${names.service_name}:${names.deployment.id}`
}
