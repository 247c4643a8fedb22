// @ts-check
// The API's reference: Swagger UI on the element #docs, which names the description's address in data-openapi.

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

const place = document.getElementById("docs");
if (place) {
  SwaggerUI({
    domNode: place,
    url: place.dataset.openapi ?? "openapi.json",
    validatorUrl: null, // nothing leaves this machine
    deepLinking: true,
    tryItOutEnabled: true,
    requestSnippetsEnabled: true,
    defaultModelsExpandDepth: 0,
  });
}
