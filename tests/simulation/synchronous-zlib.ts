/**
 * `node:zlib` without its threads: what they finish first depends on the machine, and a simulation must
 * depend on its seed alone.
 */
type Zlib = typeof import('node:zlib')
type Callback = (error: Error | null, bytes?: Buffer) => void

export function synchronousZlib(zlib: Zlib): Zlib {
  const replaced = {
    ...zlib,
    deflateRaw: inline((bytes, options) => zlib.deflateRawSync(bytes, options)),
    inflateRaw: inline((bytes, options) => zlib.inflateRawSync(bytes, options)),
  }
  return { ...replaced, default: replaced } as unknown as Zlib
}

function inline(run: (bytes: Buffer, options?: object) => Buffer) {
  return (bytes: Buffer, ...rest: [Callback] | [object, Callback]): void => {
    const done = rest.at(-1) as Callback
    try {
      done(null, run(bytes, rest.length > 1 ? rest[0] : undefined))
    } catch (error) {
      done(error as Error)
    }
  }
}
