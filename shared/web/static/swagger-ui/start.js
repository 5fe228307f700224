// Starts Swagger UI on this service's own document. A file, because the page's policy allows no inline script.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  onComplete: () => {
    document.title = window.ui.specSelectors.info().get("title") || document.title;
  },
});
