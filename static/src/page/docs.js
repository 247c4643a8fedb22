// @ts-check
// The API reference: mount Swagger UI on the element #docs. Its attribute data-openapi has the address of openapi.json.

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import { inJavaScript, inPython } from "../leaves/samples.js";

/**
 * Convert the immutable map that Swagger UI passes to a generator of code samples.
 *
 * @param {{ toJS(): { method: string, url: string, headers?: Record<string, string>, body?: unknown } }} request
 * @returns {import("../leaves/samples.js").Sample}
 */
function plain(request) {
  const { method, url, headers = {}, body = "" } = request.toJS();
  return { method, url, headers, body: typeof body === "string" ? body : JSON.stringify(body) };
}

const samples = {
  fn: {
    /** @param {Parameters<typeof plain>[0]} request */
    requestSnippetGenerator_javascript: (request) => inJavaScript(plain(request)),
    /** @param {Parameters<typeof plain>[0]} request */
    requestSnippetGenerator_python: (request) => inPython(plain(request)),
  },
};

/**
 * Show the path of an operation as text: a link inside of the button that opens the operation could not be reached by keyboard.
 *
 * @param {{ React: { createElement: (tag: string, props: object, text: string) => unknown } }} system
 */
const plainPaths = ({ React }) => ({
  wrapComponents: { DeepLink: () => (/** @type {{ text: string }} */ { text }) => React.createElement("span", {}, text) },
});

const element = document.getElementById("docs");
if (element) {
  SwaggerUI({
    domNode: element,
    url: element.dataset.openapi ?? "openapi.json",
    validatorUrl: null, // send nothing to a third party
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    plugins: [samples, plainPaths],
    requestSnippetsEnabled: true,
    requestSnippets: {
      generators: {
        curl_bash: { title: "curl", syntax: "bash" },
        javascript: { title: "JavaScript", syntax: "javascript" },
        python: { title: "Python", syntax: "python" },
      },
      defaultExpanded: true,
      languages: ["curl_bash", "javascript", "python"],
    },
  });
}
