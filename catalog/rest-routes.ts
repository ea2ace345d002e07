/** What a route of the catalog is. Paths are as `/v1/config` lists them: `/namespaces/{namespace}`. */
import type { Request, Response } from 'express'

export type Method = 'get' | 'post' | 'delete' | 'head'
export type Handler = (request: Request, response: Response) => Promise<void> | void
export type Route = readonly [Method, string, Handler]
export type Routes = readonly Route[]

export const namespacePath = '/namespaces/{namespace}'
