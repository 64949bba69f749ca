import type { ServiceRow } from '../../services/service-schema.ts'
import type { SettingsSnapshot } from '../release-settings.ts'
import type { DeploymentRequest, DeploymentRow, Step } from '../deployment-schema.ts'

/** What a deployment is made of before it has a row. */
export type Blueprint = SettingsSnapshot &
  Pick<DeploymentRow, 'source' | 'build'> & {
    /** What is known of its image beforehand; each is null when left out. */
    artifact?: Partial<Pick<DeploymentRow, 'image' | 'image_id' | 'digest' | 'commit'>>
    /** The live release that it deploys again, and what of its settings would be another than now. */
    again?: { id: string; number: number; changes: readonly string[] }
    /** The steps that there is nothing to do in; they are recorded as skipped. */
    skips: readonly Step[]
  }

/**
 * Completes a plan inside the transaction that adds the deployment: what may have changed since the plan was begun is read again here, and
 * what the deployment takes for itself is taken.
 */
export type Draft = (deploymentId: string) => Blueprint

type RequestedSource = DeploymentRequest['source']

/** Reads what a request names, outside of any transaction. Throws what the caller is to be told. */
export type SourcePlanner<Type extends RequestedSource['type']> = (
  service: ServiceRow,
  request: Extract<RequestedSource, { type: Type }>,
) => Promise<Draft>
