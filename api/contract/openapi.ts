/** The contract as an OpenAPI 3.1 document. Its schemas are JSON Schema 2020-12, as zod writes it. Pure. */
import { z } from 'zod'
import { type Operation, operations } from './operations.ts'

type Json = Record<string, unknown>

export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {}
  for (const operation of operations) {
    const path = (paths[operation.path] ??= {})
    path[operation.method] = operationObject(operation)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'potok',
      version,
      description:
        'Mean speeds of road cameras: at once provisional, in the end exact, however late the data came.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
  }
}

function operationObject(operation: Operation): Json {
  const parameters = [
    ...parametersOf(operation.params, 'path'),
    ...parametersOf(operation.query, 'query'),
  ]
  return {
    operationId: operation.id,
    summary: operation.summary,
    tags: [operation.tag],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(operation.body === undefined
      ? {}
      : {
          requestBody: {
            required: operation.id !== 'requestRecompute',
            content: Object.fromEntries(
              (operation.bodyTypes ?? ['application/json']).map((type) => [
                type,
                { schema: jsonSchema(operation.body as z.ZodType, 'input') },
              ]),
            ),
          },
        }),
    responses: Object.fromEntries(
      Object.entries(operation.answers).map(([status, { what, schema, type }]) => [
        status,
        {
          description: what,
          ...(schema === undefined && type === undefined
            ? {}
            : {
                content: {
                  [type ?? 'application/json']:
                    schema === undefined ? {} : { schema: jsonSchema(schema, 'output') },
                },
              }),
        },
      ]),
    ),
  }
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query'): Json[] {
  if (schema === undefined) return []
  const { properties, required } = jsonSchema(schema, 'input') as {
    properties: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: required?.includes(name) ?? false,
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }))
}

export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Json
  return rest
}
