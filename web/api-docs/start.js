"use strict";
// The page's address has no slash at its end, so this is /api/openapi.json, behind a proxy too.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
});
