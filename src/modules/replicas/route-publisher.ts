import type { Route } from '../../ingress/route-table.ts'
import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import type { ReplicaStore } from './replica-store.ts'
import { planRoutes, type RoutedService } from './route-plan.ts'

export interface RoutePublisherDeps {
  system: System
  replicas: ReplicaStore
  listRouted: () => RoutedService[]
  /** Resolves when every ingress process has the routes; routes that did not change cost nothing. */
  publish: (routes: Route[]) => Promise<unknown>
  onError: (error: unknown) => void
}

export interface RoutePublisher {
  worker: Worker
  /** Publishes what follows from the rows of this moment, or later; resolves when the ingress has it. */
  publish(): Promise<void>
}

/** Hands the routes to the ingress, one table after the other, so that an older one never follows a newer one. */
export function createRoutePublisher(deps: RoutePublisherDeps): RoutePublisher {
  let last: Promise<void> = Promise.resolve()
  /** One that has not read the rows yet serves everyone who asks meanwhile. */
  let next: Promise<void> | undefined

  const publishAfter = async (before: Promise<void>): Promise<void> => {
    await before.catch(() => {})
    next = undefined
    await deps.publish(planRoutes(deps.listRouted(), deps.replicas.listAll()))
  }
  const publish = (): Promise<void> => {
    if (next === undefined) {
      next = publishAfter(last)
      last = next
    }
    return next
  }
  return {
    publish,
    worker: createWorker({
      name: 'routes',
      system: deps.system,
      everyMs: 30_000,
      run: publish,
      onError: deps.onError,
    }),
  }
}
