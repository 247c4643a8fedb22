// Carry a program in the fragment of an address, `#code=…`: as text, or compressed where that is shorter.
//
// A compressed program is raw DEFLATE in Base64 with `-` and `_`, after a colon, which never begins an encoded text.

const FRAGMENT = "#code=";
const COMPRESSED = ":";

/** The fragment carries more than a program may have. */
export class TooLong extends Error {}

/** Return the fragment that carries a program, the shorter one of both forms. @param {string} program */
export async function withPackedProgram(program) {
  const plain = `${FRAGMENT}${encodeURIComponent(program)}`;
  if (typeof CompressionStream === "undefined") return plain;
  const packed = new Uint8Array(await new Response(new Blob([program]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer());
  const text = btoa([...packed].map((byte) => String.fromCharCode(byte)).join(""));
  const short = `${FRAGMENT}${COMPRESSED}${text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")}`;
  return short.length < plain.length ? short : plain;
}

/**
 * Return the program in a fragment; null if there is none, or if it is damaged.
 *
 * @param {string} hash
 * @param {number} most  bytes after which decompression stops with {@link TooLong}
 */
export async function packedProgramIn(hash, most) {
  if (!hash.startsWith(FRAGMENT)) return null;
  const text = hash.slice(FRAGMENT.length);
  try {
    if (!text.startsWith(COMPRESSED)) return decodeURIComponent(text);
    const bytes = Uint8Array.from(atob(text.slice(COMPRESSED.length).replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
    return await decompressed(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")), most);
  } catch (error) {
    if (error instanceof TooLong) throw error;
    return null;
  }
}

/** Read a stream to its end, but not beyond a size. @param {ReadableStream<Uint8Array>} stream @param {number} most */
async function decompressed(stream, most) {
  const reader = stream.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [text, size] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > most) {
      void reader.cancel();
      throw new TooLong();
    }
    text += decoder.decode(value, { stream: true });
  }
}
