// The document of the version this page is below, whatever is before that in the path.
"use strict";
document.documentElement.classList.toggle("dark-mode", window.matchMedia("(prefers-color-scheme: dark)").matches);
window.addEventListener("DOMContentLoaded", function () {
  const root = window.location.pathname.replace(/\/docs\/?$/i, "");
  window.ui = SwaggerUIBundle({
    url: root + "/api.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
  });
});
