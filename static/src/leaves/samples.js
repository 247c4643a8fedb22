// @ts-check
// Write a request as idiomatic JavaScript or Python.

/**
 * @typedef {object} Sample
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} headers
 * @property {string} body  empty for none
 */

/**
 * Return the request as a call of fetch().
 *
 * @param {Sample} request
 * @returns {string}
 */
export function inJavaScript({ method, url, headers, body }) {
  const options = [
    ...(method === "GET" ? [] : [`  method: ${JSON.stringify(method)},`]),
    ...(Object.keys(headers).length ? [`  headers: ${JSON.stringify(headers)},`] : []),
    ...(body ? [`  body: ${bodyInJavaScript(body)},`] : []),
  ];
  const call = options.length ? `fetch(${JSON.stringify(url)}, {\n${options.join("\n")}\n})` : `fetch(${JSON.stringify(url)})`;
  return `const response = await ${call};\nconsole.log(response.status, await response.text());`;
}

/**
 * Return the request as a call of urlopen().
 *
 * @param {Sample} request
 * @returns {string}
 */
export function inPython({ method, url, headers, body }) {
  const parts = [
    `    ${JSON.stringify(url)},`,
    ...(method === "GET" ? [] : [`    method=${JSON.stringify(method)},`]),
    ...(Object.keys(headers).length ? [`    headers=${JSON.stringify(headers)},`] : []),
    ...(body ? [`    data=${JSON.stringify(body)}.encode(),`] : []),
  ];
  return [
    "from urllib.request import Request, urlopen",
    "",
    `request = Request(\n${parts.join("\n")}\n)`,
    "with urlopen(request) as response:",
    "    print(response.status, response.read().decode())",
  ].join("\n");
}

/**
 * Return JSON as an object, anything else as a string.
 *
 * @param {string} body
 * @returns {string}
 */
function bodyInJavaScript(body) {
  try {
    return `JSON.stringify(${JSON.stringify(JSON.parse(body))})`;
  } catch {
    return JSON.stringify(body);
  }
}
