/** One field of a message: varints as bigint, length-delimited ones as bytes (Protocol Buffers, "Encoding"). */
export interface ProtobufField {
  field: number
  value: bigint | Buffer
}

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** The fields of one message in wire order, nested messages left as bytes. Throws RangeError when the bytes are no message. */
export function* readFields(message: Buffer): Generator<ProtobufField> {
  let offset = 0
  while (offset < message.length) {
    const key = readVarint(message, offset)
    offset = key.next
    const field = Number(key.value >> 3n)
    const wireType = Number(key.value & 7n)
    if (wireType === VARINT) {
      const { value, next } = readVarint(message, offset)
      offset = next
      yield { field, value }
    } else if (wireType === BYTES) {
      const { value, next } = readVarint(message, offset)
      offset = requireEnd(message, next, Number(value))
      yield { field, value: message.subarray(next, offset) }
    } else if (wireType === FIXED64) {
      yield { field, value: message.readBigUInt64LE(offset) }
      offset += 8
    } else if (wireType === FIXED32) {
      yield { field, value: BigInt(message.readUInt32LE(offset)) }
      offset += 4
    } else {
      throw new RangeError(`protobuf: wire type ${wireType}`)
    }
  }
}

/** One length-delimited field as it stands in a message. */
export function encodeBytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([encodeVarint((field << 3) | BYTES), encodeVarint(value.length), value])
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  return Buffer.from([...bytes, rest])
}

function readVarint(message: Buffer, start: number): { value: bigint; next: number } {
  let value = 0n
  for (let index = 0; index < 10; index += 1) {
    const byte = message.readUInt8(start + index)
    value |= BigInt(byte & 0x7f) << BigInt(7 * index)
    if (byte < 0x80) return { value, next: start + index + 1 }
  }
  throw new RangeError('protobuf: varint of more than ten bytes')
}

function requireEnd(message: Buffer, start: number, length: number): number {
  if (start + length > message.length) throw new RangeError('protobuf: field reaches beyond its message')
  return start + length
}
