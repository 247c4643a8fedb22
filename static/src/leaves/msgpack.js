// Decode msgpack, the format of the API's large answers. Byte strings are views into the answer, not copies.

/** @typedef {null | boolean | number | string | Uint8Array | unknown[] | {[key: string]: unknown}} Unpacked */

const TEXT = new TextDecoder();

/** Decode one value. Raises an error for types that the API does not use. @param {ArrayBuffer} answer @returns {unknown} */
export function unpack(answer) {
  const view = new DataView(answer);
  let at = 0;

  /** Read an unsigned number of some bytes. @param {1 | 2 | 4} size */
  function count(size) {
    const found = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
    at += size;
    return found;
  }

  /** @param {number} length */
  function bytes(length) {
    at += length;
    return new Uint8Array(answer, at - length, length);
  }

  /** @param {number} length */
  const text = (length) => TEXT.decode(bytes(length));

  /** @param {number} length @returns {Unpacked[]} */
  function list(length) {
    const found = [];
    for (let i = 0; i < length; i++) found.push(read());
    return found;
  }

  /** @param {number} length */
  function map(length) {
    /** @type {{[key: string]: Unpacked}} */
    const found = {};
    for (let i = 0; i < length; i++) {
      const key = read();
      found[String(key)] = read();
    }
    return found;
  }

  /** Skip the bytes of a value that was read. @param {number} size @param {number} value */
  function past(size, value) {
    at += size;
    return value;
  }

  /** @returns {Unpacked} */
  function read() {
    const head = count(1);
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 0x0f);
    if (head < 0xa0) return list(head & 0x0f);
    if (head < 0xc0) return text(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return bytes(count(1));
      case 0xc5:
        return bytes(count(2));
      case 0xc6:
        return bytes(count(4));
      case 0xca:
        return past(4, view.getFloat32(at));
      case 0xcb:
        return past(8, view.getFloat64(at));
      case 0xcc:
        return count(1);
      case 0xcd:
        return count(2);
      case 0xce:
        return count(4);
      case 0xcf:
        return past(8, Number(view.getBigUint64(at)));
      case 0xd0:
        return past(1, view.getInt8(at));
      case 0xd1:
        return past(2, view.getInt16(at));
      case 0xd2:
        return past(4, view.getInt32(at));
      case 0xd3:
        return past(8, Number(view.getBigInt64(at)));
      case 0xd9:
        return text(count(1));
      case 0xda:
        return text(count(2));
      case 0xdb:
        return text(count(4));
      case 0xdc:
        return list(count(2));
      case 0xdd:
        return list(count(4));
      case 0xde:
        return map(count(2));
      case 0xdf:
        return map(count(4));
      default:
        throw new Error(`msgpack: ${head.toString(16)} at ${at - 1} is not supported`);
    }
  }

  return read();
}
