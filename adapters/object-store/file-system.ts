/**
 * The calls of the file system that durable storing is made of: a seam, so that tests can stop the process,
 * fill the disk or cut the power between any two of them. The real one adds nothing.
 */
import type { Dirent, Stats } from 'node:fs'
import {
  copyFile,
  link,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  stat,
  unlink,
} from 'node:fs/promises'

export type OpenFile = {
  writeFile(bytes: Uint8Array): Promise<void>
  read(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>
  stat(): Promise<Pick<Stats, 'size'>>
  sync(): Promise<void>
  close(): Promise<void>
}

export type FileSystem = {
  /** `r` opens folders, too, to sync them. */
  open(path: string, flags: 'wx' | 'r' | 'r+'): Promise<OpenFile>
  link(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** The first folder that was missing; undefined where none was. */
  mkdir(path: string, options: { recursive: true }): Promise<string | undefined>
  readdir(path: string): Promise<string[]>
  opendir(path: string): Promise<AsyncIterable<Pick<Dirent, 'name' | 'isDirectory'>>>
  readFile(path: string): Promise<Buffer>
  stat(path: string): Promise<Pick<Stats, 'isFile' | 'size' | 'mtimeMs'>>
  copyFile(from: string, to: string, mode: number): Promise<void>
}

export const nodeFileSystem: FileSystem = {
  open,
  link,
  unlink,
  mkdir,
  readdir,
  opendir,
  readFile,
  stat,
  copyFile,
}
