import type { DeploymentCommit, DeploymentRow, DeploymentSource } from '../deployment-schema.ts'
import type { StepContext } from '../steps/step.ts'

/** An image that there is already. */
export interface FoundImage {
  /** What the engine knows it by: a tag, or a name with a digest. */
  image: string
  /** The engine's id of it. */
  image_id: string
  digest?: string
}

/**
 * How a kind of source is obtained in the step `fetch`. Either may run again after any crash, and throws DeploymentFailed with a reason
 * for people.
 */
export type SourceFetcher =
  | {
      gives: 'folder'
      /**
       * Fills an empty folder. It also runs before a build whose folder an earlier daemon left: a deployment with a commit gets that commit.
       */
      fetch: (context: StepContext, directory: string) => Promise<{ commit?: DeploymentCommit }>
    }
  | { gives: 'image'; fetch: (context: StepContext) => Promise<FoundImage> }

/** One for each kind of source that a deployment may have. */
export type SourceFetchers = Readonly<Record<DeploymentSource['type'], SourceFetcher>>

/** Whether a deployment makes an image anew. */
export function builds(fetchers: SourceFetchers, deployment: Pick<DeploymentRow, 'source'>): boolean {
  return fetchers[deployment.source.type].gives === 'folder'
}
