import type { UploadSession } from './upload-sessions.ts'

const MAX_UPLOADS = 10_000

export type OpenUploads = ReturnType<typeof createOpenUploads>

/** The uploads that are under way, by their ids, and how they are shared out between projects. */
export function createOpenUploads() {
  const uploads = new Map<string, UploadSession>()
  const ofProject = new Map<string, number>()
  return {
    add: (upload: UploadSession): UploadSession => {
      uploads.set(upload.id, upload)
      ofProject.set(upload.projectId, (ofProject.get(upload.projectId) ?? 0) + 1)
      return upload
    },

    remove: ({ id, projectId }: UploadSession): void => {
      if (!uploads.delete(id)) return
      const others = (ofProject.get(projectId) ?? 1) - 1
      if (others > 0) ofProject.set(projectId, others)
      else ofProject.delete(projectId)
    },

    /**
     * Whether the project may begin one more. It may have half as many as are free beside them: however many projects push as much as they can,
     * some are free for the next one.
     */
    hasRoomFor: (projectId: string): boolean =>
      (ofProject.get(projectId) ?? 0) * 2 < MAX_UPLOADS - uploads.size,

    get: (id: string) => uploads.get(id),
    list: (): UploadSession[] => [...uploads.values()],
    count: () => uploads.size,
  }
}
